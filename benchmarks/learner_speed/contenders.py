"""Who is compared: each is made for a setting and returns a function that does one update."""

from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.learner_speed.plain_sac import PlainSac
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.porl import Porl
from porl_ros.policy.network import Actor
from porl_ros.replay import Chunk, ReplaySchema
from porl_ros.replay.memory.replay_memory import ReplayMemory

OBSERVATION, ACTION = 17, 6  # sizes, those of HalfCheetah
EPISODE, ROWS = 50, 10_000
Update = Callable[[], object]


class Setting(NamedTuple):
    """What is the same for everybody in a row of the table. All networks: two layers of `width`."""

    device: str
    threads: int
    critics: int
    width: int
    batch: int

    @property
    def hidden(self) -> tuple[int, int]:
        return self.width, self.width


def porl(setting: Setting, *, actor: bool = True, as_shipped: bool = False) -> Update:
    """The product, its sampling included: an update of the critics and, if wanted, of the actor.

    At equal work: no LayerNorm, all target critics, no anchor. `as_shipped`: with all of that as
    it is by default, and without its actor_delay.
    """
    equal = {"critic_layer_norm": False, "target_critics": setting.critics, "anchor_final": 0.0}
    config = PorlConfig(
        critics=setting.critics, critic_hidden=setting.hidden, batch_size=setting.batch,
        **({} if as_shipped else equal),
    )  # fmt: skip
    torch.manual_seed(0)
    learner = Porl(Actor(OBSERVATION, ACTION, setting.hidden), config, 0, setting.device)
    memory = _memory(config)
    anchor = config.anchor if as_shipped else 0.0

    def update() -> None:
        batch = memory.sample(config.batch_size, config.success_share)
        learner.update_critics(batch)
        if actor:
            learner.update_actor(batch, anchor)

    return update


def _memory(config: PorlConfig) -> ReplayMemory:
    names = tuple(f"o{i}" for i in range(OBSERVATION)), tuple(f"a{i}" for i in range(ACTION))
    schema = ReplaySchema(
        contract_hash="made up", observation_names=names[0], action_names=names[1]
    )
    data, index = _made_up(), np.arange(ROWS)
    rows = np.zeros(ROWS, schema.row_dtype)
    for name in ("observation", "action", "reward", "terminated"):
        rows[name] = data[name]
    rows["episode"], rows["step"] = index // EPISODE, index % EPISODE
    last = index[EPISODE - 1 :: EPISODE]
    rows["truncated"][last] = ~rows["terminated"][last]
    finals = np.zeros(len(last), schema.final_dtype)
    finals["row"], finals["truncated"] = last, rows["truncated"][last]
    finals["observation"] = data["next_observation"][last]
    memory = ReplayMemory(OBSERVATION, ACTION, 2 * ROWS, config.discount, 0)
    memory.extend(Chunk("made/up", 0, rows, finals))
    return memory


def _made_up() -> dict[str, np.ndarray]:
    """Random transitions in episodes; every second one succeeds."""
    rng, index = np.random.default_rng(0), np.arange(ROWS)
    success = (index % EPISODE == EPISODE - 1) & (index // EPISODE % 2 == 0)
    return {
        "observation": rng.normal(size=(ROWS, OBSERVATION)).astype(np.float32),
        "action": rng.uniform(-1, 1, (ROWS, ACTION)).astype(np.float32),
        "reward": success.astype(np.float32),
        "next_observation": rng.normal(size=(ROWS, OBSERVATION)).astype(np.float32),
        "terminated": success,
    }


def stable_baselines(setting: Setting) -> Update:
    """stable-baselines3's SAC: its own `train`, at a fixed temperature. Raises ImportError."""
    import gymnasium
    from stable_baselines3 import SAC
    from stable_baselines3.common.logger import Logger

    class Spaces(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(-10, 10, (OBSERVATION,), np.float32)
        action_space = gymnasium.spaces.Box(-1, 1, (ACTION,), np.float32)

    networks = {"net_arch": list(setting.hidden), "n_critics": setting.critics}
    model = SAC(
        "MlpPolicy", Spaces(), batch_size=setting.batch, buffer_size=ROWS, ent_coef=0.1,
        policy_kwargs=networks, seed=0, device=setting.device,
    )  # fmt: skip
    model.set_logger(Logger(None, []))
    data = _made_up()
    for row in range(ROWS):
        seen, following, done, reward, ended = (
            data[name][row]
            for name in ("observation", "next_observation", "action", "reward", "terminated")
        )
        model.replay_buffer.add(seen, following, done, reward, ended, [{}])
    return lambda: model.train(gradient_steps=1, batch_size=setting.batch)


def plain_sac(setting: Setting, fast: bool = False) -> Update:
    """SAC as CleanRL writes it; `fast`: compiled, and captured where there is a GPU."""
    torch.manual_seed(0)
    data = {k: torch.from_numpy(v).float().to(setting.device) for k, v in _made_up().items()}
    return PlainSac(data, setting.width, setting.critics, setting.batch, fast).update


def bare_products(setting: Setting) -> Update:
    """The matrix products of one update of the critics by torch.mm, and nothing else.

    Forward for the next action and all target critics; forward and backward for the critics.
    """

    def made(*shape: int) -> Tensor:
        return torch.randn(shape, device=setting.device)

    def network(*sizes: int) -> tuple[list[Tensor], list[Tensor]]:
        """Weights (out, in), and room for the layers' outputs (b, out)."""
        weights = [made(fan_out, fan_in) for fan_in, fan_out in pairwise(sizes)]
        return weights, [made(setting.batch, len(weight)) for weight in weights]

    seen, joined = made(setting.batch, OBSERVATION), made(setting.batch, OBSERVATION + ACTION)
    sizes = OBSERVATION + ACTION, *setting.hidden, 1
    actor = network(OBSERVATION, *setting.hidden, ACTION)
    targets, critics = ([network(*sizes) for _ in range(setting.critics)] for _ in range(2))
    by_weights = [[torch.empty_like(weight) for weight in weights] for weights, _ in critics]
    by_inputs = [made(setting.batch, weight.shape[1]) for weight in critics[0][0]]

    def forward(inputs: Tensor, weights: list[Tensor], outputs: list[Tensor]) -> None:
        for weight, output in zip(weights, outputs, strict=True):
            inputs = torch.mm(inputs, weight.t(), out=output)

    def update() -> None:
        forward(seen, *actor)
        for target in targets:
            forward(joined, *target)
        for (weights, outputs), gradients in zip(critics, by_weights, strict=True):
            forward(joined, weights, outputs)
            inputs = [joined, *outputs[:-1]]
            for at in reversed(range(len(weights))):
                torch.mm(outputs[at].t(), inputs[at], out=gradients[at])
                if at:
                    torch.mm(outputs[at], weights[at], out=by_inputs[at])

    return update
