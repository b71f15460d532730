"""Serves the policy at the control rate, records every transition, swaps in new bundles.

Control comes first: this process never trains, never writes to disk in the control thread, and
reads bundles in a thread of their own. The operator's stop has a thread of its own, too.
"""

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from porl_ros.nodes import messages
from porl_ros.nodes.acting.commands import Commands
from porl_ros.nodes.acting.control import Control, Parts
from porl_ros.nodes.acting.episodes import Episodes
from porl_ros.nodes.acting.interaction import Interaction
from porl_ros.nodes.acting.judges import make_judge
from porl_ros.nodes.acting.lockstep import Lockstep
from porl_ros.nodes.acting.paced import Paced
from porl_ros.nodes.acting.policy_tuning import PolicyTuning
from porl_ros.nodes.acting.recording import open_writer
from porl_ros.nodes.acting.reward_topics import listen_for_rewards
from porl_ros.nodes.acting.state import State, StateTopic
from porl_ros.nodes.acting.watchdog import Watchdogs
from porl_ros.nodes.acting.watchdog_table import reactions
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.entry import run
from porl_ros.nodes.parameters import Changes
from porl_ros.nodes.people.operator import Operator
from porl_ros.nodes.people.stop import Stop
from porl_ros.nodes.people.takeover import Takeover
from porl_ros.nodes.policies.admission import GatedRuntime, mode_in_force, warn_while_off
from porl_ros.nodes.policies.deploying import Deploying
from porl_ros.nodes.policies.learner_link import LearnerLink
from porl_ros.nodes.policies.no_regret import NoRegret
from porl_ros.nodes.policies.succession import Succession
from porl_ros.nodes.scheduling import NoRealtime, come_first
from porl_ros.nodes.settings import PolicySettings
from porl_ros.nodes.watching.health import Status
from porl_ros.nodes.watching.policy_health import METRICS, PolicyHealth
from porl_ros.policy.saturation import saturation_warning
from porl_ros.replay import ReplayWriter, read_store
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Controller
from porl_ros.robot.loading import load_robot
from porl_ros.validation.trials import TrialLog

SWITCH = 0.0005  # s after which a thread that writes or loads gives way to the control thread


class PolicyNode(PorlNode):
    """See the module. All but reading bundles, writing the store and listening for the stop is in
    the executor's thread."""

    metrics = METRICS

    def __init__(self):
        super().__init__("policy")
        self._writer: ReplayWriter | None = None
        self._interaction: Interaction | None = None
        self._learner: LearnerLink | None = None
        self._control: Control | None = None
        self._parts: Parts | None = None
        self._tuning: PolicyTuning | None = None
        self._loading: ThreadPoolExecutor | None = None
        self._health: PolicyHealth | None = None
        self._gate = "off"  # only ever gets stricter
        self._state = StateTopic(self)
        self._stop = Stop(self, self._on_stop, self._on_stop_reset)
        self._operator = Operator(self)
        self._rest("unconfigured")

    def defaults(self) -> PolicySettings:
        return PolicySettings()

    # Lifecycle

    def setup(self) -> None:
        settings = self.settings
        self._robot = config = load_robot(settings.robot_config)
        lockstep = settings.mode == "lockstep"
        watchdogs = Watchdogs(config, reactions(settings.watchdog))
        runtime = self._load(config)
        controller, judge = Controller(config), make_judge(config)
        takeover = Takeover(self, config)
        self._tuning = PolicyTuning(runtime, controller, watchdogs, takeover)
        self._tuning.apply(settings)
        self.required("store")
        self._writer = open_writer(settings, self.get_namespace(), config)
        self._interaction = Interaction(controller, runtime, self._writer, judge)
        commands = Commands(self, config, controller)
        episodes = Episodes(self, config, self._interaction, runtime, settings.seed)
        parts = Parts(
            self, config, self._interaction, self._writer, commands, episodes, watchdogs,
            self._stop, self._state, takeover,
        )  # fmt: skip
        self._parts, self._state.alarms = parts, lambda: watchdogs.counts
        control = (Lockstep if lockstep else Paced)(parts, settings.max_steps)
        self._control, self._operator.parts = control, parts
        self._health = PolicyHealth(parts, control, runtime)
        if config.reward.source == "topic":
            listen_for_rewards(self, config.reward, judge)
        for source in config.observation.sources:
            kind, receive = messages.MESSAGES[source.type], partial(control.receive, source)
            self.create_subscription(kind, source.topic, receive, messages.sensor_qos(lockstep))
        self._connect(runtime, lockstep)
        self._rest("inactive")

    def start(self) -> None:
        gc.unfreeze()  # what an earlier life has left
        gc.collect()
        gc.freeze()  # a full collection, in the middle of a step, has little left to look at
        self._come_first()
        self._parts.watchdogs.restart()
        self._control.active = self._operator.active = True
        self.steady_timer(0.5, self._housekeeping)
        if isinstance(self._control, Paced):
            self.create_timer(1.0 / self._robot.control_rate, self._control.tick)
        self._parts.episodes.tell_version()
        self.get_logger().info(
            f"policy version {self._parts.episodes.version} is up for {self._robot.name}; "
            f"recording to {self.settings.store}, run {self._writer.run}"
        )
        self._rest("episode")
        if self._stop.pressed:  # before there was an executor to tell
            self._control.stop()

    def stop(self) -> None:
        """No further command, once the robot is told to stand."""
        if self._control and self._control.active:
            self._control.pause()
            self._operator.active = False
            self._rest("inactive")

    def teardown(self) -> None:
        if self._loading:
            self._loading.shutdown()
            self._loading = None
        if self._parts:
            self._parts.episodes.drop()  # an answer that is on its way finds nobody to ask on
        if self._interaction:
            self._interaction.abort()
        if self._writer:
            self._writer.close()
        self._writer = self._interaction = self._learner = self._control = None
        self._parts = self._tuning = self._health = None
        self._state.alarms = dict
        self._operator.parts = self._operator.deploying = None
        self._rest("unconfigured")

    def destroy_node(self) -> None:
        self._stop.close()
        super().destroy_node()

    # Tuning

    def check(self, wanted: PolicySettings) -> None:
        if self._tuning:
            self._tuning.check(self.settings, wanted)

    def tuned(self, changes: Changes) -> None:
        self._gate = mode_in_force(self.settings.gate, self._robot, self._gate)
        self._tuning.apply(self.settings)
        super().tuned(changes)

    def progress(self) -> dict[str, int]:
        return {"env_step": self._control.steps_before + self._interaction.steps}

    def diagnose(self) -> list[Status]:
        health = self._health
        return health.look(self.settings) if health else []

    def _come_first(self) -> None:
        try:
            if priority := self.settings.realtime_priority:
                come_first(priority)
        except NoRealtime as error:  # then it takes its turn, and is still safe
            self.get_logger().warning(str(error))

    def _load(self, config: RobotConfig) -> GatedRuntime:
        settings = self.settings
        self._gate = mode_in_force(settings.gate, config, self._gate)
        warn_while_off(self, config, self._gate)
        runtime = GatedRuntime(self._gate, config, settings.device, settings.explore, settings.seed)
        runtime.swap(runtime.load(Path(self.required("bundle")).resolve()))
        shares = runtime.bundle.manifest.saturation
        if warning := saturation_warning(shares, "its demonstrations"):
            self.get_logger().warning(warning)
        return runtime

    def _connect(self, runtime: GatedRuntime, lockstep: bool) -> None:
        """To where other policies come from: a learner, or an operator."""
        self._loading = ThreadPoolExecutor(1, "loading")
        log = TrialLog(self._writer.robot, Path(self.settings.store), runtime.bundle)
        succession = Succession(self, self._robot, runtime, log, self._loading, lambda: self._gate)
        self._parts.episodes.succession = succession
        self._operator.deploying = Deploying(self, self._robot, runtime, succession, self._loading)
        no_regret = self._connect_learner(runtime, succession, lockstep)
        succession.resume()
        if no_regret:
            no_regret.resume()

    def _connect_learner(
        self, runtime: GatedRuntime, succession: Succession, lockstep: bool
    ) -> NoRegret | None:
        """Go on where earlier runs in the store ended: grants count its steps. Of how policies did
        on other robots that record there this one's guard knows nothing."""
        if not self.settings.learner:
            return None
        control, robot = self._control, self._writer.robot
        past = read_store(Path(self.settings.store))
        self._learner = control.learner = LearnerLink(
            self, robot, runtime, succession, self._loading, lockstep, control.try_to_act
        )
        control.steps_before = sum(len(chunk.rows) for chunk in past)
        self._parts.episodes.no_regret = NoRegret(
            self,
            robot,
            runtime,
            self._learner,
            succession,
            [chunk for chunk in past if chunk.run.startswith(f"{robot}/")],
            self._robot.episode.horizon,
        )
        return self._parts.episodes.no_regret

    # Stop; called in its thread

    def _on_stop(self) -> None:
        if not (self._control and self.executor):  # loading, or nothing loaded
            self._rest("")
        self.call_soon(lambda: self._control and self._control.stop())

    def _on_stop_reset(self) -> None:
        self.call_soon(self._go_on)

    def _go_on(self) -> None:
        active = self._control and self._control.active
        self._rest("episode" if active else "inactive" if self._control else "unconfigured")
        if active:
            self._control.ask_for_episode()

    def _rest(self, reason: str) -> None:
        """Nothing is sent: because of the stop if it is pressed, else for this reason."""
        if self._stop.pressed:
            self._state.tell(State.STOPPED, "stop", self._stop.reason)
        else:
            self._state.tell(State.WAITING, reason)

    # Twice a second

    def _housekeeping(self) -> None:
        if not (self._control and self._control.active):
            return
        if self._writer.fault:
            self.get_logger().error(
                f"not recording: {self._writer.fault}; control goes on", throttle_duration_sec=10.0
            )
        if self._parts.episodes.first_stamp is None:
            self._control.ask_for_episode()
        if self._learner:
            self._learner.check()


def main(args: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    sys.setswitchinterval(SWITCH)
    return run(PolicyNode, args)


if __name__ == "__main__":
    raise SystemExit(main())
