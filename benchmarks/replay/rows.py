"""What is stored: transitions of a mid-sized robot, 305 bytes each, in episodes of 200."""

import time

import numpy as np

from porl_ros.replay import ReplaySchema

OBSERVATION, ACTION, EPISODE = 48, 12, 200
SCHEMA = ReplaySchema(
    contract_hash="benchmark",
    observation_names=tuple(f"observation_{i}" for i in range(OBSERVATION)),
    action_names=tuple(f"action_{i}" for i in range(ACTION)),
)
DIFFERENT = 1000  # rows that differ; noise, so that nothing can compress it away

_random = np.random.default_rng(0)
OBSERVATIONS = _random.standard_normal((DIFFERENT + 1, OBSERVATION)).astype(np.float32)
ACTIONS = _random.uniform(-1, 1, (DIFFERENT, ACTION)).astype(np.float32)


def next_observation(number: int) -> np.ndarray:
    """What followed row `number`, (OBSERVATION,) float32."""
    return OBSERVATIONS[number % DIFFERENT + 1]


def columns(count: int) -> dict[str, np.ndarray]:
    """The first `count` rows as arrays: what a learner needs of them."""
    numbers = np.arange(count)
    ends = numbers % EPISODE == EPISODE - 1
    return {
        "observation": OBSERVATIONS[numbers % DIFFERENT],
        "action": ACTIONS[numbers % DIFFERENT],
        "reward": np.full((count, 1), 0.5, np.float32),
        "terminated": ends[:, None],
        "truncated": np.zeros((count, 1), bool),
    }


def transition(number: int) -> dict:
    """Row `number` as a control loop has it: the keywords of `ReplayWriter.log`."""
    last = number % EPISODE == EPISODE - 1
    action = ACTIONS[number % DIFFERENT]
    return {
        "observation": OBSERVATIONS[number % DIFFERENT],
        "action": action,
        "requested_action": action,
        "reward": 0.5,
        "terminated": last,
        "truncated": False,
        "actor": 0,
        "policy_version": 1,
        "episode": number // EPISODE,
        "step": number % EPISODE,
        "stamp": time.monotonic_ns(),
        "final_observation": next_observation(number) if last else None,
    }
