"""One control step, whoever says when: perceive, ask, act; and what to do when that cannot be.

`Lockstep` and `Paced` say when.
"""

import time
from collections import deque
from typing import NamedTuple

from porl_ros.nodes import messages
from porl_ros.nodes.acting.commands import Commands
from porl_ros.nodes.acting.episodes import Episodes
from porl_ros.nodes.acting.interaction import Interaction, UnusableObservation
from porl_ros.nodes.acting.state import State, StateTopic
from porl_ros.nodes.acting.watchdog import Alarm, Watchdogs
from porl_ros.nodes.acting.watchdog_table import Reaction, Reason
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.people.person import Wish
from porl_ros.nodes.people.stop import Stop
from porl_ros.nodes.people.takeover import Takeover
from porl_ros.nodes.policies.learner_link import LearnerLink
from porl_ros.nodes.throttle import Throttle
from porl_ros.replay import ReplayWriter
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Act
from porl_ros.robot.observation import Sample

QUIET = 2.0  # seconds in which an alarm is not told again
DETAIL = 5.0  # the same, of what a message or an action was like
LATENCIES = 1000  # of so many steps


class Parts(NamedTuple):
    """What a control loop works with; the policy node makes and ends them."""

    node: PorlNode
    config: RobotConfig
    interaction: Interaction
    writer: ReplayWriter
    commands: Commands
    episodes: Episodes
    watchdogs: Watchdogs
    stop: Stop
    state: StateTopic
    takeover: Takeover


class Control:
    """A control loop; executor's thread. Acts only while `active` and not stopped.

    What it counts other threads may read: `rounds`, how often it has looked whether to act, and
    `latencies`, the last of them from that look to the command, in seconds.
    """

    by_clock = True  # and not by what a simulation says

    def __init__(self, parts: Parts, max_steps: int = 0):
        """`max_steps`: no more control steps than that; 0: without limit."""
        self._parts, self._max_steps = parts, max_steps
        self.learner: LearnerLink | None = None
        self.steps_before = 0  # of earlier runs in the store: grants count its steps
        self.active = False
        self._samples: dict[str, Sample] = {}
        self._acted = self._perceived = -1  # stamps of the samples last acted on, last seen
        self.rounds, self.latencies = 0, deque(maxlen=LATENCIES)
        self._begun_at: float | None = None  # when this step was; None once it has waited
        self._note: Alarm | None = None  # of this step, which is taken all the same
        self._alarms_told, self._details_told = Throttle(QUIET), Throttle(DETAIL)
        self._log = parts.node.get_logger()
        parts.takeover.now, parts.takeover.on_word = self._takeover_now, self._on_word
        parts.episodes.now, parts.episodes.on_begun = self._episode_now, self._on_begun

    # What the two modes differ in

    def _take(self, source, sample: Sample) -> None:
        raise NotImplementedError

    def _come_to_rest(self, then: State, reason: str, detail: str) -> None:
        """Bring the robot to rest within its limits; `then` is the state once it is told to."""
        raise NotImplementedError

    def _inferred(self, seconds: float) -> Alarm | None:
        """Whether the policy took too long."""
        return None

    def _takeover_now(self) -> int:
        """ns of the clock by which a person's silence is measured."""
        raise NotImplementedError

    def _episode_now(self) -> int:
        """The stamp that samples of an episode have which begins now."""
        raise NotImplementedError

    def _on_begun(self) -> None:
        """An episode may begin with the samples that come."""
        self._perceived = -1

    def _on_word(self) -> None:
        """A person has said something."""

    # Stepping

    @property
    def allowed(self) -> bool:
        """Whether the policy may command the robot at all."""
        return self.active and not self._parts.stop.pressed

    def receive(self, source, message) -> None:
        """A message of a source has come."""
        try:
            sample = messages.to_sample(source, message)
        except messages.MessageError as error:
            if self._details_told.due(source.name):
                self._log.error(str(error))
            return
        self._take(source, sample)

    def _step(self, stamp: int) -> None:
        """Perceive, unless these samples are perceived already, then act if that is allowed."""
        self._begun_at = time.perf_counter()
        if not self.allowed or self._parts.commands.braking:
            return
        if self._parts.episodes.first_stamp is None:
            self._between(stamp)
        elif self._begun(self._parts.episodes.first_stamp) and (
            stamp == self._perceived or self._perceive(stamp)
        ):
            self.try_to_act()

    def _begun(self, first: int) -> bool:
        """Whether all samples are of the episode whose first stamp this is."""
        return min(sample.stamp for sample in self._samples.values()) >= first

    def _between(self, stamp: int) -> None:
        """No episode runs: a person may move the robot, or else the script of the reset does."""
        parts, person = self._parts, self._parts.takeover.wish
        if stamp <= self._acted or (person and not self._may_steer):
            return
        try:
            act = self._move(person)
        except UnusableObservation as error:
            self._react(parts.watchdogs.alarm(Reason.UNUSABLE, str(error)))
            return
        if act is None:
            self.ask_for_episode()
            return
        self._acted = stamp
        parts.commands.send(act.command, stamp)
        parts.takeover.answered()
        if person:
            parts.state.tell(State.HUMAN, "between")
        else:
            parts.state.tell(State.WAITING, "reset")

    def _move(self, wish: Wish | None) -> Act | None:
        """A step that is nobody's; None when the robot is where it should be, and stands."""
        interaction, resetting = self._parts.interaction, self._parts.episodes.resetting
        if wish is None and resetting.going:
            wish = resetting.wish(*interaction.whereabouts(self._samples))
        if wish is None and not interaction.moving and self._parts.episodes.robot_is_placed:
            return None
        return interaction.move(self._samples, wish)

    @property
    def _may_steer(self) -> bool:
        """Whether what a person asks for may be carried out now."""
        return True

    def _perceive(self, stamp: int) -> bool:
        """Whether there is something to act on now."""
        try:
            result = self._parts.interaction.perceive(self._samples)
        except UnusableObservation as error:
            self._react(self._parts.watchdogs.alarm(Reason.UNUSABLE, str(error)))
            return False
        self._perceived = stamp
        if result:
            self._parts.episodes.ended(result)
            self._episode_over()
        return result is None

    def try_to_act(self) -> None:
        """Act on what was perceived, unless the learner has not granted the step or its bundle."""
        interaction, learner = self._parts.interaction, self.learner
        if not (self.allowed and interaction.running) or self._perceived <= self._acted:
            return
        done = interaction.steps
        step, limit = self.steps_before + done, self._max_steps
        if (limit and done >= limit) or (learner and not learner.grants(step)):
            self._begun_at = None
            self._parts.writer.request_flush()  # the learner waits for what we have
            self._parts.episodes.tell_steps()
            self._parts.state.tell(State.WAITING, "learner" if learner else "max_steps")
        elif not learner or learner.prepare(step):
            self._act()

    def _act(self) -> None:
        self._parts.episodes.choose_policy()
        if wish := self._parts.takeover.wish:
            self._steer(wish)
        else:
            self._let_the_policy_act()

    def _steer(self, wish: Wish) -> None:
        """A person acts instead of the policy."""
        if not self._may_steer:
            self._tell(State.HUMAN, None)
            return
        self._send(self._parts.interaction.steer(wish))
        self._parts.takeover.answered()
        self._tell(State.HUMAN, self._note)

    def _let_the_policy_act(self) -> None:
        begun = time.perf_counter()
        action = self._parts.interaction.think()
        alarm = self._inferred(time.perf_counter() - begun)
        if alarm:
            self._react(alarm)
        if self._parts.stop.pressed or not self._parts.interaction.running:
            return  # stopped meanwhile, or brought to rest
        hold = alarm is not None and alarm.reaction is not Reaction.CONTINUE
        self._send(self._parts.interaction.decide(action, hold))
        self._tell(State.HOLDING if hold else State.ACTING, alarm or self._note)

    def _send(self, act: Act) -> None:
        self._acted = self._perceived
        self._parts.commands.send(act.command, self._acted)
        if self._begun_at is not None:
            self.latencies.append(time.perf_counter() - self._begun_at)
        if act.interventions and self._details_told.due("safety filter"):
            self._log.warning(f"safety filter: {', '.join(act.interventions)}")

    def _tell(self, state: State, alarm: Alarm | None) -> None:
        self._note = None
        if alarm:
            self._parts.state.tell(state, alarm.reason, alarm.text)
        else:
            self._parts.state.tell(state, "")

    # Coming to rest

    def stop(self) -> None:
        """Come to rest and stay there until `Stop` is released; the episode is truncated."""
        self._end_episode()
        self._come_to_rest(State.STOPPED, "stop", self._parts.stop.reason)

    def pause(self) -> None:
        """Send nothing more until `active` again."""
        self.active = False

    def ask_for_episode(self) -> None:
        """Ask for the next episode, if that makes sense now."""
        if self.allowed and not self._parts.commands.braking:
            self._parts.commands.forget()
            self._parts.episodes.ask()
            if self._parts.episodes.first_stamp is None and not self._parts.interaction.moving:
                self._parts.state.tell(State.WAITING, self._parts.episodes.waiting_for)

    def _react(self, alarm: Alarm) -> None:
        """Do what the table says; of slow inference only what is more than to hold one step."""
        self._log_alarm(alarm)
        match alarm.reaction:
            case Reaction.CONTINUE:
                self._note = alarm
            case Reaction.BASE:
                if self._parts.episodes.no_regret:
                    self._parts.episodes.no_regret.back_to_base(alarm.text)
            case Reaction.HOLD if alarm.reason is not Reason.SLOW_INFERENCE:
                self._parts.interaction.abort(in_place=True)
                self._come_to_rest(State.HOLDING, alarm.reason, alarm.text)
            case Reaction.RAMP_DOWN:
                self._end_episode()
                self._come_to_rest(State.HOLDING, alarm.reason, alarm.text)
            case Reaction.STOP:
                self._parts.stop.press(f"watchdog {alarm.reason}: {alarm.text}")
                self.stop()

    def _log_alarm(self, alarm: Alarm) -> None:
        """Each reason by itself: none may hide another."""
        if self._alarms_told.due(alarm.reason):
            self._log.warning(f"{alarm.reason}: {alarm.text} -> {alarm.reaction}")

    def _end_episode(self) -> None:
        self._parts.interaction.abort()
        self._parts.episodes.drop()

    def _episode_over(self) -> None:
        """One has ended by itself."""
        self.ask_for_episode()

    def _clock_jumped_back(self) -> None:
        """All that was seen is of another time."""
        self._samples.clear()
        self._acted = self._perceived = -1
        self._parts.takeover.forget()
        self._parts.episodes.drop()
