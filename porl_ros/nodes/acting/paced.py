"""Control by the clock, as on a robot: a step every control period, on the latest samples."""

from porl_ros.nodes.acting.control import Control
from porl_ros.nodes.acting.state import State
from porl_ros.nodes.acting.watchdog import Alarm
from porl_ros.nodes.acting.watchdog_table import Reaction, Reason
from porl_ros.robot.observation import Sample


class Paced(Control):
    """See the module. `tick` is called every control period of the ROS clock."""

    _hopeless = False  # a reason to come to rest lasts, so that a new episode would not help

    def tick(self) -> None:
        """Look whether all is well, then step on the latest samples."""
        self.rounds += 1
        alarm = self._parts.watchdogs.tick(self._now(), self._samples, self._parts.commands.heard)
        self._hopeless = alarm is not None and alarm.reaction is Reaction.RAMP_DOWN
        well = alarm is None or self._cope(alarm)
        if well and self._samples:
            newest = max(sample.stamp for sample in self._samples.values())
            if newest > self._acted:
                self._step(newest)

    def pause(self) -> None:
        """The robot is at rest when this returns; the episode is truncated."""
        super().pause()
        self._parts.interaction.abort()
        self._parts.commands.finish_braking()

    def ask_for_episode(self) -> None:
        if not self._hopeless:
            super().ask_for_episode()

    def _cope(self, alarm: Alarm) -> bool:
        """React to an alarm; whether the step is taken all the same."""
        moving = self._parts.interaction.moving or self._parts.episodes.first_stamp is not None
        if self.allowed and moving:
            self._react(alarm)
        elif self.allowed:  # nothing moves yet
            self._parts.state.tell(State.WAITING, alarm.reason, alarm.text)
        if alarm.reason is Reason.CLOCK_BACK:
            self._clock_jumped_back()
        return alarm.reaction is Reaction.CONTINUE

    def _take(self, source, sample: Sample) -> None:
        before = self._samples.get(source.name)
        if self._parts.watchdogs.received(source, sample, before, self._now()):
            self._samples[source.name] = sample

    def _takeover_now(self) -> int:
        return self._now()

    def _episode_now(self) -> int:
        return self._now()

    def _inferred(self, seconds: float) -> Alarm | None:
        return self._parts.watchdogs.inferred(seconds)

    def _come_to_rest(self, then: State, reason: str, detail: str) -> None:
        if not self._parts.commands.standing:
            self._parts.state.tell(State.RAMPING, reason, detail)
        self._parts.commands.brake(lambda: self._parts.state.tell(then, reason, detail))

    def _episode_over(self) -> None:
        self._parts.commands.brake(self.ask_for_episode)

    def _now(self) -> int:
        return self._parts.node.get_clock().now().nanoseconds
