"""How a policy node is, from the counters that its control loop leaves behind."""

import math
import time
from pathlib import Path

from porl_ros.nodes.acting.control import Control, Parts
from porl_ros.nodes.acting.state import State
from porl_ros.nodes.acting.watchdog_table import WATCHDOGS, Reason
from porl_ros.nodes.policies.admission import GatedRuntime
from porl_ros.nodes.settings import PolicySettings
from porl_ros.nodes.watching.health import Level, Rate, Status, disk, percentile

# Of the values, those that are topics: policy/metrics/NAME
METRICS = (
    "control_rate", "latency_p50_ms", "latency_p99_ms", "late_ticks", "alarms", "interventions",
    "exploration_std", "success_rate", "episodes", "episode_return", "rows", "rows_waiting",
    "rows_per_second", "disk_free_gb",
)  # fmt: skip
BEHIND = 0.9  # share of the control rate under which the loop is too slow
UNWRITTEN = 5.0  # seconds of steps that may wait for the disk


class PolicyHealth:
    """Of one configured policy node. Called by the thread of the diagnostics; reads, and never
    waits for the control thread."""

    def __init__(self, parts: Parts, control: Control, runtime: GatedRuntime):
        self._parts, self._control, self._runtime = parts, control, runtime
        self._rate, self._rows = Rate(), Rate()
        self._alarms: dict[Reason, int] = {}

    def look(self, settings: PolicySettings) -> list[Status]:
        """Everything, as it is now."""
        statuses = [self._steps(), self._watchdogs(), self._stop(), self._recording()]
        statuses += [self._policy(settings), disk(Path(settings.store))]
        return [*statuses, self._learner()] if settings.learner else statuses

    def _steps(self) -> Status:
        parts, control = self._parts, self._control
        by_clock = control.by_clock
        now = parts.node.get_clock().now().nanoseconds / 1e9 if by_clock else time.monotonic()
        rate, latencies = self._rate(control.rounds, now), control.latencies.copy()
        p99, wanted = 1e3 * percentile(latencies, 0.99), parts.config.control_rate
        slow = by_clock and control.active and rate < BEHIND * wanted
        text = f"{rate:.3g} steps a second" + (f" of {wanted:g}" if by_clock else "")
        if slow:
            text += "; the machine is busy, or the policy too slow: see latency and late ticks"
        return Status("control", Level.WARN if slow else Level.OK, text, {
            "state": parts.state.now[0], "reason": parts.state.now[1], "control_rate": rate,
            "latency_p50_ms": 1e3 * percentile(latencies, 0.5), "latency_p99_ms": p99,
            "steps": parts.interaction.steps, "interventions": parts.interaction.interventions,
        })  # fmt: skip

    def _watchdogs(self) -> Status:
        before, self._alarms = self._alarms, dict(self._parts.watchdogs.counts)
        since = {r: n - before.get(r, 0) for r, n in self._alarms.items() if n > before.get(r, 0)}
        values = {str(reason): count for reason, count in self._alarms.items()}
        values |= {
            "alarms": sum(self._alarms.values()),
            "late_ticks": self._alarms.get(Reason.LATE_TICK, 0),
        }
        state, reason = self._parts.state.now
        if state in (State.HOLDING, State.RAMPING) and reason in WATCHDOGS:
            text = f"the robot stands, {reason}: {WATCHDOGS[Reason(reason)].when}; what helps: "
            text += WATCHDOGS[Reason(reason)].way_back
            return Status("watchdogs", Level.ERROR, text, values)
        if since:
            text = "in the last second " + ", ".join(f"{r} {n}" for r, n in since.items())
            return Status("watchdogs", Level.WARN, f"{text}; see docs/safety.md", values)
        return Status("watchdogs", Level.OK, "quiet", values)

    def _stop(self) -> Status:
        stop = self._parts.stop
        if not stop.pressed:
            return Status("stop", Level.OK, "released", {"stopped": False})
        text = f"stopped: {stop.reason}; call the service reset_stop to go on"
        return Status("stop", Level.ERROR, text, {"stopped": True})

    def _recording(self) -> Status:
        writer = self._parts.writer
        rows, waiting = writer.rows, writer.rows - writer.acknowledged
        values = {
            "rows": rows, "rows_waiting": waiting, "run": writer.run,
            "rows_per_second": self._rows(rows, time.monotonic()),
        }  # fmt: skip
        if writer.fault:
            text = f"not recording: {writer.fault}; control goes on"
            return Status("recording", Level.ERROR, text, values)
        if waiting > UNWRITTEN * max(self._parts.config.control_rate, values["rows_per_second"]):
            text = f"{waiting} steps wait for the disk, which is too slow"
            return Status("recording", Level.WARN, text, values)
        return Status("recording", Level.OK, f"{rows} steps, {waiting} not on disk yet", values)

    def _policy(self, settings: PolicySettings) -> Status:
        episodes, interaction = self._parts.episodes, self._parts.interaction
        recent = interaction.recent.copy()
        rate = sum(recent) / len(recent) if recent else math.nan
        mode = self._runtime.mode
        values = {
            "version": episodes.version, "gate": mode, "success_rate": rate,
            "episodes": interaction.episode + 1, "episode_return": interaction.last_return,
            "exploration_std": self._runtime.exploration_std,
        }  # fmt: skip
        if self._parts.config.physical and mode == "off":
            return Status("policy", Level.ERROR, "THE GATE IS OFF on a physical robot", values)
        text = f"version {episodes.version}, {rate:.0%} of the last {len(recent)} episodes"
        return Status("policy", Level.OK, text, values)

    def _learner(self) -> Status:
        node = self._parts.node
        alive = node.count_publishers(node.resolve_topic_name("learner/bundle")) > 0
        if alive:
            return Status("learner", Level.OK, "is there", {"learner_alive": True})
        text = "none is there; the present policy goes on. Start the fine-tuning node"
        return Status("learner", Level.WARN, text, {"learner_alive": False})
