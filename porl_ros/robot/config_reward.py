"""The `reward` section of a robot config: who says what a step was worth, and that it is over.

No part of the contract: what succeeds is the task's, but who can tell differs from cell to cell. An
operator may mark an episode in any case.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, FiniteFloat, PositiveInt, model_validator

from porl_ros.configfile import StrictModel
from porl_ros.robot.config_types import Topic


class _Sparse(StrictModel):
    def return_range(self, horizon: int) -> tuple[float, float]:
        """What the rewards of an episode can add up to: 1 on success, which ends it, else 0."""
        return 0.0, 1.0


class FunctionReward(_Sparse):
    """The function `episode.success`, of what the robot itself senses."""

    source: Literal["function"] = "function"


class OperatorReward(_Sparse):
    """A person, by the services `mark_success` and `mark_failure`."""

    source: Literal["operator"]


class ClassifierReward(_Sparse):
    """A learned classifier of the observation, made by `porl classifier train`.

    Success: its probability was `threshold` or more in `consecutive` steps, one after the other.
    """

    source: Literal["classifier"]
    path: Path = Field(description="folder that `porl classifier train` wrote")
    threshold: float = Field(0.9, gt=0.0, lt=1.0, description="probability that counts as success")
    consecutive: PositiveInt = Field(
        2, description="steps, one after the other, in which it must be reached"
    )


class TopicReward(StrictModel):
    """Messages; one counts for the step in which it arrives."""

    source: Literal["topic"]
    done: Topic = Field(
        description="`std_msgs/msg/Bool`; a true one ends the episode, a success unless "
        "`reward` is given"
    )
    reward: Topic | None = Field(
        None,
        description="`std_msgs/msg/Float64`: what the step was worth, the last one that came; "
        "without one, 0",
    )
    range: tuple[FiniteFloat, FiniteFloat] = Field(
        (0.0, 1.0), description="least and greatest reward; values outside are not taken"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.range[0] >= self.range[1]:
            raise ValueError(f"range: {self.range[0]} must be under {self.range[1]}")
        return self

    def return_range(self, horizon: int) -> tuple[float, float]:
        """What the rewards of an episode can add up to."""
        low, high = self.range
        return (min(0.0, horizon * low), max(0.0, horizon * high)) if self.reward else (0.0, 1.0)


Reward = Annotated[
    FunctionReward | OperatorReward | ClassifierReward | TopicReward, Field(discriminator="source")
]
