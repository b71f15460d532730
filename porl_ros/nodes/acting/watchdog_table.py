"""What may go wrong between a robot and its policy, and what is done about it: the whole table.

docs/safety.md shows it, and a test compares the two.
"""

from enum import StrEnum
from typing import Literal, NamedTuple

from pydantic import Field, create_model

from porl_ros.configfile import StrictModel


class Reason(StrEnum):
    """Names of the watchdogs; also of the parameters `watchdog.NAME` that set their reactions."""

    MISSING = "missing"
    STALE = "stale"
    REPEATED = "repeated"
    OUT_OF_ORDER = "out_of_order"
    AHEAD = "ahead"
    UNUSABLE = "unusable"
    LATE_TICK = "late_tick"
    SLOW_INFERENCE = "slow_inference"
    NO_SUBSCRIBER = "no_subscriber"
    CLOCK_BACK = "clock_back"


class Reaction(StrEnum):
    """What is done, the mildest first."""

    CONTINUE = "continue"  # the step is taken all the same
    BASE = "base"  # hold for this step; from the next one on the base policy acts
    HOLD = "hold"  # come to rest, and go on from there when the reason is gone
    RAMP_DOWN = "ramp_down"  # come to rest, and ask for a new episode when the reason is gone
    STOP = "stop"  # as if an operator had pressed stop


class Watchdog(NamedTuple):
    """One line of the table."""

    when: str
    reaction: Reaction  # unless the parameter says otherwise
    choices: tuple[Reaction, ...]
    way_back: str
    lockstep: str  # what becomes of it there, where wall time means nothing


_STILL = (Reaction.HOLD, Reaction.RAMP_DOWN, Reaction.STOP)
_EVENT = (Reaction.CONTINUE, *_STILL)
WATCHDOGS: dict[Reason, Watchdog] = {
    Reason.MISSING: Watchdog(
        "a source of observations has said nothing yet", Reaction.HOLD, _STILL,
        "the first sample of every source", "off: nothing is sent before all have spoken",
    ),
    Reason.STALE: Watchdog(
        "the newest sample of a source is older than its `max_age`", Reaction.HOLD, _STILL,
        "a fresh sample", "off: simulated time stands still meanwhile",
    ),
    Reason.REPEATED: Watchdog(
        "a sample carries the stamp of the one before it; it is not taken", Reaction.CONTINUE,
        _EVENT, "the next sample that is newer", "off: how the simulator asks for a lost answer",
    ),
    Reason.OUT_OF_ORDER: Watchdog(
        "a sample is older than the one before it; it is not taken", Reaction.CONTINUE, _EVENT,
        "the next sample that is newer", "off: see `clock_back`",
    ),
    Reason.AHEAD: Watchdog(
        "a sample is stamped later than now by more than its source's `max_age`; it is not taken",
        Reaction.CONTINUE, _EVENT, "the next sample with a true stamp", "off",
    ),
    Reason.UNUSABLE: Watchdog(
        "an observation is not finite, or a joint is measured further outside its limits than its "
        "`deviation`", Reaction.HOLD, _STILL, "the next sample that makes sense",
        "on; the simulator is not answered",
    ),
    Reason.LATE_TICK: Watchdog(
        "a control tick comes later than due by more than `late_tick` periods (parameter, 0.5)",
        Reaction.CONTINUE, _EVENT, "the next tick in time", "off: there are no ticks",
    ),
    Reason.SLOW_INFERENCE: Watchdog(
        "the policy took more than `inference_deadline` periods (parameter, 0.5); its action is "
        "not carried out", Reaction.HOLD, (Reaction.CONTINUE, Reaction.BASE, *_STILL),
        "the next action in time; after `base`, a newer policy", "off: the simulator waits",
    ),
    Reason.NO_SUBSCRIBER: Watchdog(
        "nobody listens on the command topic", Reaction.RAMP_DOWN, _STILL, "a subscriber",
        "on; the observation is not acted on until somebody listens",
    ),
    Reason.CLOCK_BACK: Watchdog(
        "the ROS clock, in lock-step the simulator's, jumped back", Reaction.RAMP_DOWN,
        (Reaction.RAMP_DOWN, Reaction.STOP), "samples of the new time",
        "on; without a ramp, for it is another simulation",
    ),
}  # fmt: skip


def table() -> list[str]:
    """The watchdogs as the lines of a Markdown table."""
    rows = [
        (f"`{reason}`", w.when, _named(w), w.way_back, w.lockstep)
        for reason, w in WATCHDOGS.items()
    ]
    head = ("reason", "when", "reaction (others to choose)", "way back", "in lock-step")
    return ["| " + " | ".join(row) + " |" for row in (head, ("---",) * len(head), *rows)]


def _named(watchdog: Watchdog) -> str:
    others = ", ".join(f"`{r}`" for r in watchdog.choices if r is not watchdog.reaction)
    return f"**{watchdog.reaction}** ({others})"


def _setting(watchdog: Watchdog) -> tuple[type, object]:
    """A reaction as a parameter: one of those that the watchdog allows."""
    choices = Literal[tuple(map(str, watchdog.choices))]
    return choices, Field(str(watchdog.reaction), description=f"reaction when {watchdog.when}")


WatchdogSettings = create_model(
    "WatchdogSettings",
    __base__=StrictModel,
    __doc__="The reaction of each watchdog; a field for each `Reason`.",
    **{str(reason): _setting(watchdog) for reason, watchdog in WATCHDOGS.items()},
)


def reactions(settings: StrictModel) -> dict[Reason, Reaction]:
    """Of `WatchdogSettings`, the reactions by reason."""
    return {reason: Reaction(getattr(settings, reason)) for reason in Reason}
