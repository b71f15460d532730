"""The suite of a scene: how many episodes a policy is judged on, and how cells are randomised."""

import hashlib
from typing import Annotated, Self

import numpy as np
from pydantic import AfterValidator, Field, FiniteFloat, NonNegativeFloat

from porl_ros.configfile import StrictModel
from porl_ros.errors import ConfigError
from porl_ros.robot.config import Vector3
from porl_ros.simulation.variant import Variant

DRAWS = 1  # sets the draws of a seed apart from what the episode of the same seed draws


def _ordered(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError(f"the lower end {value[0]} is above the upper end {value[1]}; swap them")
    return value


def _positive(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] <= 0.0:
        raise ValueError(f"a factor of {value[0]}: must be over 0; 1 leaves the cell as it is")
    return value


def _below_one(value: tuple[float, float]) -> tuple[float, float]:
    if value[1] >= 1.0:
        raise ValueError(f"a share of {value[1]} is added: must be under 1")
    return value


Added = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered)]
Factor = Annotated[Added, AfterValidator(_positive)]
Count = Annotated[int, Field(ge=0, le=100_000)]
HalfWidths = tuple[NonNegativeFloat, NonNegativeFloat, NonNegativeFloat]


class Suite(StrictModel):
    """Uniform ranges around the cell that is judged in; what is not given is not randomised.

    Factors multiply the cell's value; the others are added to it, and what would be under 0 is 0.
    """

    nominal: Count = Field(description="episodes in the cell as it is")
    randomised: Count = Field(description="episodes in cells that are drawn around it")
    friction: Factor | None = Field(None, description="factor; null: not randomised")
    damping: Factor = Field((1.0, 1.0), description="factor")
    spread: Factor = Field((1.0, 1.0), description="factor")
    payload: Added = Field((0.0, 0.0), description="added [kg]")
    latency: Added = Field((0.0, 0.0), description="added [s]")
    estimate_offset: HalfWidths = Field((0.0, 0.0, 0.0), description="+- this on each axis [m]")
    estimate_noise: Added = Field((0.0, 0.0), description="added [m]")
    joint_noise: Added = Field((0.0, 0.0), description="added [rad]")
    dropped: Annotated[Added, AfterValidator(_below_one)] = Field(
        (0.0, 0.0), description="added, under 1"
    )

    @classmethod
    def load(cls, scene: str) -> Self:
        """The suite of `sim/<scene>`; ConfigError when the scene has none or a wrong one."""
        from porl_ros.simulation.scene import SceneConfig  # a scene holds a suite

        suite = SceneConfig.load(scene).suite
        if suite is None:
            raise ConfigError(f"{scene}: suite: is required to judge policies here and not given")
        return suite

    @property
    def hash(self) -> str:
        """SHA-256 of the suite, to tell in a record which one it was."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    def draw(self, seed: int, around: Variant) -> Variant:
        """The cell of a randomised episode; it depends on nothing but the suite and these two.

        ConfigError when friction is randomised around a cell that leaves it to the scene's files.
        """
        rng = np.random.default_rng([seed, DRAWS])
        centre = around.model_dump()
        drawn = {
            **{
                key: centre[key] * rng.uniform(*getattr(self, key)) for key in ("damping", "spread")
            },
            **{key: self._added(key, centre[key], rng) for key in ADDED},
            "estimate_offset": self._offset(around.estimate_offset, rng),
            "friction": self._friction(around.friction, rng),
        }
        drawn["dropped"] = min(drawn["dropped"], MOST_DROPPED)
        return Variant.model_validate(drawn)

    def _added(self, key: str, centre: float, rng: np.random.Generator) -> float:
        return max(0.0, centre + rng.uniform(*getattr(self, key)))

    def _offset(self, centre: Vector3, rng: np.random.Generator) -> list[float]:
        return (np.array(centre) + rng.uniform(-1.0, 1.0, 3) * self.estimate_offset).tolist()

    def _friction(self, centre: float | None, rng: np.random.Generator) -> float | None:
        if self.friction is None:
            return centre
        if centre is None:
            raise ConfigError(
                f"suite.friction = {self.friction}: a factor, and the cell has no friction; "
                "give it one"
            )
        return centre * rng.uniform(*self.friction)


ADDED = ("payload", "latency", "estimate_noise", "joint_noise", "dropped")
MOST_DROPPED = 0.99
