"""Control in lock-step: every observation of the simulator is answered by one command.

Wall time means nothing here, so no watchdog looks at it: the simulator waits.
"""

from porl_ros.nodes.acting.control import Control
from porl_ros.nodes.acting.state import State
from porl_ros.nodes.acting.watchdog_table import Reaction, Reason
from porl_ros.nodes.base import STEADY
from porl_ros.robot.observation import Sample


class Lockstep(Control):
    """Steps as soon as every source carries the same stamp, and it is a new one.

    To come to rest means to answer with braking: the observation that waits, or else the next one,
    and as many more as it takes. After that the simulator is not answered any more, and simulated
    time stands still.
    """

    by_clock = False
    _rest: tuple[State, str, str] | None = None  # to be told when the robot is told to stand

    def _take(self, source, sample: Sample) -> None:
        self._samples[source.name] = sample
        self.look()

    def look(self) -> None:
        """Step if there is something new to answer."""
        stamps = {sample.stamp for sample in self._samples.values()}
        if len(self._samples) < len(self._parts.config.observation.sources) or len(stamps) > 1:
            return
        stamp = stamps.pop()
        if stamp < self._acted:
            self._new_simulation()
        elif stamp == self._acted:  # the simulator shows it again: our answer was lost
            if self.allowed or self._rest:
                self._parts.commands.again()
        elif self._rest:
            self._brake(stamp)
        elif self.allowed and not self._parts.commands.heard:
            self._wait_for_a_subscriber()
        elif alarm := self._parts.watchdogs.look(self._samples):
            self._react(alarm)
        else:
            self.rounds += 1
            self._step(stamp)

    def _takeover_now(self) -> int:
        """Of a clock on the wall: simulated time waits for the person."""
        return STEADY.now().nanoseconds

    def _episode_now(self) -> int:
        return 0  # the simulator shows the present again and again

    def _on_begun(self) -> None:
        super()._on_begun()
        self.look()

    def _on_word(self) -> None:
        if max((sample.stamp for sample in self._samples.values()), default=-1) > self._acted:
            self.look()

    def _episode_over(self) -> None:
        super()._episode_over()
        if self._perceived > self._acted:  # the robot may have to move before the next one
            self.look()

    @property
    def _may_steer(self) -> bool:
        """One step for each thing that a person says: else it would be over before he saw it."""
        return self._parts.takeover.news

    def stop(self) -> None:
        interaction = self._parts.interaction
        moving = interaction.running or interaction.moving
        moving &= not self._parts.commands.standing
        self._end_episode()
        rest = State.STOPPED, "stop", self._parts.stop.reason
        if not (moving or self._rest):
            self._parts.state.tell(*rest)
            return
        self._rest = rest
        self._parts.state.tell(State.RAMPING, *rest[1:])
        if self._perceived > self._acted:
            self._brake(self._perceived)

    def _come_to_rest(self, then: State, reason: str, detail: str) -> None:
        """The simulator is not answered, and so stands still: there is nothing to bring to rest."""
        self._parts.state.tell(then, reason, detail)

    def _brake(self, stamp: int) -> None:
        self._acted = self._perceived = stamp
        self._parts.commands.brake_once(stamp)
        if self._parts.commands.standing:
            rest, self._rest = self._rest, None
            self._parts.state.tell(*rest)

    def _wait_for_a_subscriber(self) -> None:
        alarm = self._parts.watchdogs.alarm(Reason.NO_SUBSCRIBER, "nobody listens to the commands")
        if alarm.reaction is Reaction.STOP:
            self._react(alarm)
        else:  # the simulator shows the observation again
            self._parts.state.tell(State.WAITING, alarm.reason, alarm.text)

    def _new_simulation(self) -> None:
        text = "the clock went back (simulation restarted?): a new episode"
        self._rest = None
        self._react(self._parts.watchdogs.alarm(Reason.CLOCK_BACK, text))
        self._clock_jumped_back()
        self.ask_for_episode()
