"""The tasks of the comparison, each with its expert, its demonstrations and its base policy.

A base is cloned from few demonstrations, or set to work in another cell than it was shown, so that
it succeeds in 20 to 60 % of the episodes. What makes it so stands in `TASKS`, with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import gymnasium
import numpy as np

from benchmarks.finetuning import robot_tasks
from benchmarks.finetuning.bases import cached_base, cached_demos
from benchmarks.finetuning.episodes import SEEDS_APART, DemoEpisode, EpisodeSeeds
from porl_ros.learning.bc import BcConfig
from porl_ros.policy.network import Actor

Expert = Callable[[], np.ndarray]  # action (m,) for the state its environment is in


@dataclass(frozen=True)
class Task:
    """A sparse task: reward 1.0 on success, which terminates, else 0.0; truncated at `horizon`.

    Observations are flat float32, actions float32 in [-1, 1].
    """

    name: str
    horizon: int
    demonstrations: int  # successful episodes of the expert that a base is cloned from
    build: Callable[[], gymnasium.Env]  # the cell in which the policy is fine-tuned
    build_demo: Callable[[], gymnasium.Env]  # the cell in which it was shown
    build_expert: Callable[[gymnasium.Env], Expert]
    demo_noise: float  # std of the noise on the expert's actions, in units of the action box
    requirements: str = "main"  # or "metaworld": which environment it runs in, see the README
    cloning: BcConfig = field(default_factory=BcConfig)

    def make(self, seed: int) -> gymnasium.Env:
        """The environment; `reset()` begins the next training episode of run `seed`.

        `reset(seed=s)` begins exactly episode s, whatever went before.
        """
        return EpisodeSeeds(self.build(), seed * SEEDS_APART)

    def demos(self, seed: int) -> list[DemoEpisode]:
        """The demonstrations of run `seed`, recorded once and then read from disk."""
        return cached_demos(self, seed)

    def base(self, seed: int) -> Actor:
        """The policy cloned from `demos(seed)`, made once and then read from disk."""
        return cached_base(self, seed)

    @property
    def settings(self) -> dict:
        """What a base depends on; a cached one made under other settings is made again."""
        return {
            "task": self.name,
            "horizon": self.horizon,
            "demonstrations": self.demonstrations,
            "demo_noise": self.demo_noise,
            "cloning": self.cloning.model_dump(mode="json"),
        }


def _robot(name: str, robot: str, cell: str, shown_in: str, **settings) -> Task:
    return Task(
        name=name,
        build=partial(robot_tasks.make_env, robot, cell),
        build_demo=partial(robot_tasks.make_env, robot, shown_in),
        build_expert=robot_tasks.make_expert,
        **settings,
    )


_ALL = (
    # The demo's task: shown where the vision is right, set to work where it is 6, -4.5 mm off.
    _robot(
        "ur5e_insert", "ur5e_insert", "shifted", "calibrated",
        horizon=60, demonstrations=10, demo_noise=0.15,
    ),
    # Fifteen demonstrations leave out how to come down beside the cube and start again.
    _robot(
        "ur5e_lift", "ur5e_lift", "nominal", "nominal",
        horizon=50, demonstrations=15, demo_noise=0.15,
    ),
)  # fmt: skip

TASKS: dict[str, Task] = {task.name: task for task in _ALL}
