"""What a checkpoint holds besides tensors: counters, order, and random generators. Validated.

JSON on disk; whatever it says is in range afterwards, so that nothing that is made of it can hang,
take gigabytes, or fail halfway.
"""

import random
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import Field, model_validator
from torch import Tensor

from porl_ros.configfile import StrictModel
from porl_ros.learning.anchor import MOST_HALVINGS

HELD_OUT = "held_out."  # begins the names of tensors
Count = Annotated[int, Field(ge=0, le=2**62)]
Address = Annotated[int, Field(ge=0, le=2**53)]
Range = tuple[Address, Address]


class State(NamedTuple):
    """Of a learner or a piece of one: tensors by part and name, and books by piece. The tensors are
    the live ones, not copies."""

    tensors: dict[str, dict[str, Tensor]]
    books: dict[str, Any]


class PorlBooks(StrictModel):
    """Of `Porl`. `choice` is the state of the generator that picks critics."""

    critic_updates: Count
    actor_updates: Count
    choice: tuple[Literal[3], tuple[Annotated[int, Field(ge=0, lt=2**32)], ...], None]

    @model_validator(mode="after")
    def _check(self) -> Self:
        random.Random().setstate(self.choice)
        return self


class WarmupBooks(StrictModel):
    """Of `CriticWarmup`. `phases` of it are left; it has been `judged` by what is held out."""

    updates: Count
    phase_updates: Count
    phases: int = Field(ge=0, le=2)
    judged: bool
    checks_since: Count


class TrainerBooks(StrictModel):
    """Of `Trainer`."""

    env_steps: Count
    episodes: Count
    owed: Count
    paid_for: Count
    actor_rests_until: Count


class AnchorBooks(StrictModel):
    """Of an `Anchor`: outcomes of recent episodes and of the base's; how often it has halved."""

    recent: tuple[bool, ...]
    base: tuple[bool, ...]
    halvings: float = Field(ge=0.0, le=MOST_HALVINGS)


class MemoryBooks(StrictModel):
    """Of a `ReplayMemory`, as its `state_dict` gives it."""

    random: dict[str, Any]
    given: Address
    cursor: dict[str, Range]
    fed: list[tuple[Address, Address, str, Address, Address, Address]]
    listed: dict[Literal["1", "2", "4"], list[Address]]
    hold_out_every: Address
    multi_step_from: Address
    completed: Range
    held_out: list[list[Range]]

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            np.random.default_rng().bit_generator.state = self.random
        except (KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"random: {error}") from None
        ends = [end for ranges in self.held_out for pair in ranges for end in pair]
        if ends != sorted(ends) or (ends and ends[-1] > self.given):
            raise ValueError("held_out: must ascend, up to what was given")
        return self

    def check_capacity(self, capacity: int) -> None:
        """Raises ValueError for more than a ring of so many slots can hold."""
        hidden = sum(end - first for ranges in self.held_out for first, end in ranges)
        if hidden > capacity:
            raise ValueError(f"held_out: {hidden} rows, the memory has {capacity} slots")
        if any(slot >= capacity for slots in self.listed.values() for slot in slots):
            raise ValueError(f"listed: a slot beyond the {capacity} of the memory")


class RunBooks(StrictModel):
    """Of `FineTuning`. `last_rows`: of each run the last row fed, and its checksum. `configured`
    and `tuned`: the settings that may change while it learns, at the start and since."""

    version: Count
    published_at: Count
    published_updates: Count
    grant: tuple[Count, Count, Count]
    paused: bool
    forgiven: Count
    returns: dict[str, Count]
    configured: dict[str, int | float]
    tuned: dict[str, int | float]
    acted: dict[str, Annotated[int, Field(ge=-1, le=2**62)]]
    last_rows: dict[str, tuple[Address, Annotated[int, Field(ge=0, lt=2**32)]]]
    saturation: dict[str, Annotated[float, Field(ge=0.0, le=1.0)]]


class Books(StrictModel):
    """All of them."""

    porl: PorlBooks
    warmup: WarmupBooks
    trainer: TrainerBooks
    anchor: AnchorBooks
    memory: MemoryBooks
    prior: MemoryBooks
    run: RunBooks
