"""The `gate` section of a robot config: what a policy must show in simulation before it may act.

No part of the contract: how much proof is asked for differs from place to place.
"""

from typing import Annotated, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    model_validator,
)

from porl_ros.configfile import StrictModel
from porl_ros.robot.contract import contract_hash


class Bounds(StrictModel):
    """What no policy may exceed, however successful. `null`: no such bound."""

    interventions: NonNegativeFloat | None = Field(
        0.05,
        le=1.0,
        description="share of the control steps in which the safety filter changed the command",
    )
    velocity: PositiveFloat | None = Field(
        1.0, le=1.0, description="the highest of what is sent, as a share of that joint's limit"
    )
    acceleration: PositiveFloat | None = Field(1.0, le=1.0, description="the same of accelerations")
    contact_force: PositiveFloat | None = Field(
        250.0, description="the highest between robot (with tool) and anything else [N]"
    )
    chatter: PositiveFloat | None = Field(
        1.5,
        description="mean squared second difference of the executed actions; 16 is from one "
        "end of the box to the other in every step",
    )
    roughness: PositiveFloat | None = Field(
        3.0, description="the same, in multiples of the reference's"
    )


class Rule(StrictModel):
    """When a policy is admitted. At least one of `success` and `worse_by` must be there."""

    success: float | None = Field(
        0.8, gt=0.0, lt=1.0, description="success that must be shown, at least; null: not asked for"
    )
    margin: float = Field(
        0.15,
        gt=0.0,
        lt=1.0,
        description="of success, that makes a refusal unlikely: see `false_refusal`",
    )
    worse_by: float | None = Field(
        0.1,
        gt=0.0,
        lt=1.0,
        description="compared with a reference, if one is named, it must be shown not to be "
        "worse by this much; null: not asked for",
    )
    false_admission: float = Field(
        0.05, gt=0.0, lt=0.5, description="chance that a policy that falls short is admitted"
    )
    false_refusal: float = Field(
        0.1, gt=0.0, lt=0.5, description="chance that one that is better by `margin` is turned away"
    )
    least: PositiveInt = Field(
        40,
        description="episodes before an admission, at least; how many at most is the suite's "
        "to say",
    )
    valid_days: PositiveFloat | None = Field(
        90.0, description="how long an admission holds; null: for ever [days]"
    )
    bounds: Bounds = Bounds()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.success is None and self.worse_by is None:
            raise ValueError("success and worse_by are both null: everything would pass; set one")
        if self.success is not None and self.success + self.margin >= 1.0:
            raise ValueError(
                f"success + margin = {self.success + self.margin:g}: must be under 1, for nobody "
                "can show that a policy is perfect; lower one"
            )
        return self

    @property
    def hash(self) -> str:
        """SHA-256 of the rule as canonical JSON."""
        return contract_hash(self.model_dump(mode="json"))


class Canary(StrictModel):
    """How a newly admitted policy is tried on the robot itself, beside the one that acts."""

    share: float = Field(
        0.0,
        ge=0.0,
        le=0.5,
        description="of the episodes it acts in one of 1/share, rounded; 0: it acts in all of "
        "them at once",
    )
    worse_by: float = Field(
        0.2,
        gt=0.0,
        lt=1.0,
        description="it is promoted once it is shown not to be worse by this much, and "
        "withdrawn once it is found to be worse",
    )
    false_promotion: float = Field(
        0.05, gt=0.0, lt=0.5, description="chance that one that is worse by so much is promoted"
    )
    false_withdrawal: float = Field(
        0.05, gt=0.0, lt=0.5, description="chance that one that is no worse is withdrawn"
    )
    episodes: PositiveInt = Field(
        60, description="of its own, after which a trial ends undecided: the incumbent stays"
    )

    @property
    def block(self) -> int:
        """Episodes of which one is the candidate's."""
        return round(1.0 / self.share)


def _word(mode: object) -> object:
    """YAML reads `off` as no."""
    return "off" if mode is False else mode


class Gate(StrictModel):
    """Which bundles must be admitted before a physical robot runs them.

    `canary`: how what was admitted is tried on the robot, wherever the gate is on.
    """

    mode: Annotated[Literal["initial", "every", "off"], BeforeValidator(_word)] = Field(
        "initial",
        description="initial: the one it begins with; every: each that a learner offers, too; "
        "off: none, which a physical robot must be told in so many words",
    )
    i_accept_an_unchecked_policy: bool = Field(
        False, description="must stand beside `off` on a physical robot"
    )
    rule: Rule = Rule()
    canary: Canary = Canary()
