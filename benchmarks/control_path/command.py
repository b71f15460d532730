"""Latency and missed ticks of the control path, with and without a learner that trains.

python -m benchmarks control_path                    # a few minutes
python -m benchmarks control_path --ticks 100000     # a third of an hour
python -m benchmarks control_path --priority 40      # before all normal processes
"""

import statistics
import tempfile
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.control_path.picture import draw
from benchmarks.control_path.pure import step_times
from benchmarks.control_path.robot import IdealRobot
from benchmarks.control_path.system import Bench, Learner, echo
from benchmarks.machine import write_results
from porl_ros.nodes.graph import private_domain

RATE, PACED_RATE = 500.0, 100.0  # control steps a second
PERCENTILES = (50.0, 90.0, 99.0, 99.9)
PIECE = 10.0  # seconds of ticks that are looked at together
EARLY = 0.1  # periods by which a command may come before it usually does

console = Console()


def run(
    rounds: Annotated[int, typer.Option(min=1)] = 3,
    seconds: Annotated[float, typer.Option(help="of each latency measurement")] = 10.0,
    ticks: Annotated[int, typer.Option(help="control ticks by the clock, idle")] = 6000,
    training_ticks: Annotated[int, typer.Option(help="the same beside training")] = 6000,
    priority: Annotated[int, typer.Option(help="realtime_priority of policy node and echo")] = 0,
    slice: Annotated[bool, typer.Option(help="little of everything, no results written")] = False,
) -> None:
    """Measure, print, write benchmarks/results/control_path.json (or control_path_realtime)."""
    if slice:
        rounds, seconds, ticks, training_ticks = 1, 3.0, 500, 500
    private_domain()
    with tempfile.TemporaryDirectory() as folder:
        seen: dict[str, list[float]] = defaultdict(list)
        bench = Bench(Path(folder) / "latency", RATE, 1000, priority)
        latency = _latency(bench, rounds, seconds, seen)
        bench = Bench(Path(folder) / "ticks", PACED_RATE, 1000, priority)
        paced = _ticks(bench, ticks, training_ticks)
    _print(latency, paced)
    if not slice:
        name = "control_path_realtime" if priority else "control_path"
        settings = {"rate": RATE, "seconds": seconds, "paced_rate": PACED_RATE}
        settings |= {"realtime_priority": priority}
        print(write_results(name, {**settings, "latency": latency, "paced": paced}))
        print(draw(seen, f"{name}.png", f"{RATE:g} Hz, lock-step", 1e3 / RATE))


def _latency(bench: Bench, rounds: int, seconds: float, seen: dict[str, list[float]]) -> list[dict]:
    """Bare echo and policy node in turn, first without a learner, then beside one. What each step
    took is added to `seen`."""
    seen["step without ROS"] = step_times(bench.config, bench.base, round(seconds * RATE))
    pure = {"who": "step without ROS", "training": False, "round": 0}
    pure |= {"updates": 0, "steps": round(seconds * RATE)} | _distribution(seen[pure["who"]])
    with ExitStack() as stack:
        stack.enter_context(echo(bench.priority))
        nodes = stack.enter_context(bench.policy("lockstep"))
        robots = {
            name: stack.enter_context(IdealRobot(bench.config, name, lockstep=True))
            for name in ("echo", "policy")
        }
        for robot in robots.values():
            robot.wait_for(lambda robot=robot: robot.heard_at, nodes.check)
        idle = [pure, *_rounds(robots, rounds, seconds, None, seen)]
        learner = stack.enter_context(bench.learner())
        robots["policy"].wait_for(lambda: learner.updates > 0, nodes.check)
        return idle + _rounds(robots, rounds, seconds, learner, seen)


def _rounds(
    robots: dict[str, IdealRobot],
    rounds: int,
    seconds: float,
    learner: Learner | None,
    seen: dict[str, list[float]],
) -> list[dict]:
    found = []
    for round_ in track(range(rounds), "training" if learner else "idle", console=console):
        for name, robot in robots.items():
            before = learner.updates if learner else 0
            robot.run(seconds)
            updates = learner.updates - before if learner else 0
            row = {"who": name, "training": learner is not None, "round": round_}
            row |= {"updates": updates, "steps": round(seconds * RATE)}
            found.append(row | _distribution(robot.latencies))
            seen[f"{name}, training" if learner else name] += robot.latencies
    return found


def _distribution(latencies: list[float]) -> dict:
    ms = np.array(latencies) * 1e3
    shares = {f"p{p:g} [ms]": float(np.percentile(ms, p)) for p in PERCENTILES}
    return {"answered": len(ms), **shares, "max [ms]": float(ms.max())}


def _ticks(bench: Bench, ticks: int, training_ticks: int) -> list[dict]:
    """The policy node by the clock: commands that did not come in their control period."""
    with (
        bench.policy("paced") as nodes,
        IdealRobot(bench.config, "policy", lockstep=False) as robot,
    ):
        robot.wait_for(lambda: robot.heard_at, nodes.check)
        idle = _count(robot, ticks, None)
        with bench.learner() as learner:
            robot.wait_for(lambda: learner.updates > 0, nodes.check)
            return [idle, _count(robot, training_ticks, learner)]


def _count(robot: IdealRobot, ticks: int, learner: Learner | None) -> dict:
    late, missed, before = [], 0, learner.updates if learner else 0
    pieces = max(1, round(ticks / PACED_RATE / PIECE))
    seconds = ticks / PACED_RATE / pieces
    for _ in track(range(pieces), "ticks, " + ("training" if learner else "idle"), console=console):
        robot.run(seconds)
        for times in robot.episodes:
            of_each, without = _lateness(times * PACED_RATE)
            late, missed = late + of_each, missed + without
    ms = np.array(late) / PACED_RATE * 1e3
    return {
        "training": learner is not None,
        "updates": learner.updates - before if learner else 0,
        "ticks": len(late) + missed,
        "missed": missed,
        **{f"late, p{p:g} [ms]": float(np.percentile(ms, p)) for p in PERCENTILES},
        "late, max [ms]": float(ms.max()),
    }


def _lateness(at: np.ndarray) -> tuple[list[float], int]:
    """Commands of an episode, at these times in control periods: how late each was, in periods, and
    how many periods had none. A period begins where its command usually comes."""
    if len(at) < 100:
        return [], 0  # too short to know
    mean = np.angle(np.exp(2j * np.pi * at).mean()) / (2 * np.pi)  # phases are points on a circle
    since = at - at[0] + (at[0] - mean) % 1.0  # from where a period begins with the mean phase
    usual = np.percentile((since + 0.5) % 1.0 - 0.5, 5)
    period = np.floor(since - usual + EARLY)
    missed = period[-1] - period[0] + 1 - len(np.unique(period))
    return (since - usual - period).tolist(), int(missed)


def _print(latency: list[dict], paced: list[dict]) -> None:
    names = [key for key in latency[0] if key.startswith(("p", "max"))]
    table = Table("", *names, "answered", title=f"sensors to command at {RATE:g} Hz, medians")
    for who, training in dict.fromkeys((r["who"], r["training"]) for r in latency):
        rows = [r for r in latency if (r["who"], r["training"]) == (who, training)]
        middle = (f"{statistics.median(r[name] for r in rows):.2f}" for name in names)
        answered = f"{sum(r['answered'] for r in rows)} of {sum(r['steps'] for r in rows)}"
        table.add_row(who + (", training" if training else ""), *middle, answered)
    console.print(table)
    added = [_added(latency, training) for training in (False, True)]
    console.print(f"added p99: {added[0]:.2f} ms, {added[1]:.2f} ms beside training (limit 0.50)")
    ticks = Table(*paced[0], title=f"by the clock at {PACED_RATE:g} Hz")
    for row in paced:
        ticks.add_row(*(f"{v:.2f}" if isinstance(v, float) else str(v) for v in row.values()))
    console.print(ticks)


def _added(latency: list[dict], training: bool) -> float:
    """Median over the rounds of what the policy node's p99 is above the echo's of the round."""
    p99 = {
        who: [r["p99 [ms]"] for r in latency if (r["who"], r["training"]) == (who, training)]
        for who in ("echo", "policy")
    }
    pairs = zip(p99["echo"], p99["policy"], strict=True)
    return statistics.median(own - bare for bare, own in pairs)


def main() -> None:
    """Entry point of `python -m benchmarks control_path`."""
    typer.run(run)
