"""The methods that are compared, and what each is made with.

All start from the same base policy per task and seed (or, where they start from nothing, have the
same networks), act through the same loop, and have the same budget of environment steps. What they
share with PORL (networks, batch, updates per step, discount) is taken from its defaults, so that
all but `sac_scratch` do the same number of updates of the same size.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import gymnasium
import torch

from benchmarks.finetuning.loop import Agent, Learner, Loop, Rows
from benchmarks.finetuning.porl_agent import PorlAgent
from benchmarks.finetuning.rivals import SacAgent, StableBaselines
from benchmarks.finetuning.sac import SacConfig, gaussian
from benchmarks.finetuning.tasks import Task
from porl_ros.learning.config import PorlConfig
from porl_ros.policy.network import Actor

BUDGET, COMMON = 30_000, 15_000  # environment steps: of PORL and the best rival, and of all
SEEDS, FEWER_SEEDS = 5, 3
DEFAULTS = PorlConfig()


@dataclass(frozen=True)
class Method(ABC):
    """One row of the table. `settings` is all that a result depends on besides task and seed."""

    label: str
    colour: str

    @property
    @abstractmethod
    def settings(self) -> dict: ...

    @abstractmethod
    def make(
        self, task: Task, env: gymnasium.Env, base: Actor, seed: int, steps: int
    ) -> Learner: ...


@dataclass(frozen=True)
class ByPorl(Method):
    """The product's learner, its defaults but for `changes`."""

    changes: dict

    @property
    def settings(self) -> dict:
        config = DEFAULTS.model_copy(update=self.changes).model_dump(mode="json")
        del config["total_steps"]  # only the length of a run: nothing else follows from it
        return config

    def make(self, task: Task, env: gymnasium.Env, base: Actor, seed: int, steps: int) -> Learner:
        config = PorlConfig(**self.changes, total_steps=steps)
        return Loop(env, PorlAgent(base, config, seed), seed, config.publish_every)


@dataclass(frozen=True)
class BySac(Method):
    """Our SAC; `start` says what of: the base policy, or nothing but the demonstrations."""

    start: Literal["base", "demonstrations"]
    std: float  # of the Gaussian at first, before tanh
    config: SacConfig

    @property
    def settings(self) -> dict:
        published = {"publish_every": DEFAULTS.publish_every}
        return (
            {"start": self.start, "std": self.std} | published | self.config.model_dump(mode="json")
        )

    def make(self, task: Task, env: gymnasium.Env, base: Actor, seed: int, steps: int) -> Learner:
        return Loop(env, self._agent(task, base, seed), seed, DEFAULTS.publish_every)

    def _agent(self, task: Task, base: Actor, seed: int) -> Agent:
        if self.start == "base":
            return SacAgent(gaussian(base, self.std), self.config, seed)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            new = Actor(base.observation_size, base.action_size, base.hidden)
        new.set_normalisation(base.mean, base.std)  # statistics of the demonstrations
        shown = Rows(base.observation_size, base.action_size).demonstrations(task.demos(seed))
        return SacAgent(gaussian(new, self.std), self.config, seed, shown)


@dataclass(frozen=True)
class ByStableBaselines(Method):
    """stable-baselines3's SAC; `changes` to its defaults."""

    changes: dict

    @property
    def settings(self) -> dict:
        return {"stable-baselines3": "2.9.2", **self.changes}

    def make(self, task: Task, env: gymnasium.Env, base: Actor, seed: int, steps: int) -> Learner:
        return StableBaselines(env, self.changes, seed)


_SHARED = {
    "learning_starts": 100,  # as stable-baselines3 and HIL-SERL
    "utd": DEFAULTS.utd,
    "actor_delay": DEFAULTS.actor_delay,
    "batch_size": DEFAULTS.batch_size,
    "discount": DEFAULTS.discount,
    "target_rate": DEFAULTS.target_rate,
    "critics": DEFAULTS.critics,
    "critic_hidden": DEFAULTS.critic_hidden,
    "learning_rate": DEFAULTS.critic_learning_rate,
    "memory_capacity": DEFAULTS.memory_capacity,
}

METHODS: dict[str, Method] = {
    "porl": ByPorl("PORL", "#1f5fa8", {}),
    "porl_no_warmup": ByPorl(
        "PORL without pre-sample warm-up",
        "#5aa9c9",
        {"presample_steps": 0, "warmup_mc_updates": 0, "warmup_td_updates": 0},
    ),
    "porl_no_anchor": ByPorl(
        "PORL without anchor", "#7d6bb5", {"anchor": 0.0, "anchor_final": 0.0}
    ),
    # As in the literature the bound is what holds it. 0.3 is the largest scale in use there
    # (ResFiT, Policy Decorator) and must be enough for what the base does wrong.
    "residual": ByPorl(
        "bounded residual on the frozen base",
        "#a83f6b",
        {"residual_scale": 0.3, "anchor": 0.0, "anchor_final": 0.0},
    ),
    "naive_sac": BySac(
        "naive SAC from the base",
        "#d9731a",
        start="base",
        std=DEFAULTS.exploration_std,
        config=SacConfig(
            **_SHARED | {"critics": 2},  # as SAC has them
            layer_norm=False,
            initial_temperature=0.01,
            target_entropy=-1.0,
            entropy_in_backup=True,
            actor_value="min",
            mean="action",
        ),
    ),
    "rlpd": BySac(
        "RLPD, has the demonstrations",
        "#3d8f4f",
        start="demonstrations",
        std=1.0,
        config=SacConfig(
            **_SHARED,
            demonstration_share=0.5,
            layer_norm=True,
            initial_temperature=0.01,
            target_entropy=-0.5,
            entropy_in_backup=False,
            actor_value="mean",
            mean="squashed",
        ),
    ),
    "sac_scratch": ByStableBaselines(
        "SAC from scratch (stable-baselines3)", "#8a8f98", {"buffer_size": BUDGET}
    ),
}

# PORL with one setting other than its default: what each is worth. Not rows of the table.
VARIANTS: dict[str, Method] = {
    name: ByPorl(
        ", ".join(f"{key} = {value}" for key, value in changes.items()), "#000000", changes
    )
    for name, changes in {
        "one_step": {"n_step": 1},
        "five_steps": {"n_step": 5},
        "two_critics": {"critics": 2},
        "discount_095": {"discount": 0.95},
        "no_half_life": {"anchor_half_life": 0},
        "learned_acts": {"actor_average_rate": 1.0},
        "constant_rate": {"actor_learning_rate_final": DEFAULTS.actor_learning_rate},
        "uniform_batches": {"success_share": 0.0},
        "std_01": {"exploration_std": 0.1},
        "width_32": {"critic_hidden": (32, 32)},
        "width_64": {"critic_hidden": (64, 64)},
        "width_256": {"critic_hidden": (256, 256)},
    }.items()
}


def find(name: str) -> Method:
    """A method or a variant by its name; KeyError for neither."""
    return METHODS[name] if name in METHODS else VARIANTS[name]
