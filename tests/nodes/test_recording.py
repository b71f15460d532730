"""The policy node's parameters for what it records to."""

from pathlib import Path

import numpy as np
import pytest

from porl_ros.nodes.acting.recording import open_writer
from porl_ros.nodes.settings import PolicySettings
from porl_ros.replay import Actor, read_store, robot_schema


def record(store: Path, config, steps: int, **limits: float) -> list[int]:
    """Record that many steps; which of them are there at the end."""
    schema, settings = robot_schema(config), PolicySettings(store=str(store), **limits)
    with open_writer(settings, "/", config) as writer:
        observation = np.zeros(schema.observation_size, np.float32)
        action = np.zeros(schema.action_size, np.float32)
        for step in range(steps):
            writer.log(
                observation=observation, action=action, requested_action=action, reward=0.0,
                terminated=False, truncated=False, actor=Actor.POLICY, policy_version=0,
                episode=0, step=step, stamp=step, final_observation=None,
            )  # fmt: skip
            if step % 1000 == 0:
                writer.flush()  # what comes at once is sealed at once
    chunks = read_store(store, config.contract_hash)
    return [int(step) for chunk in chunks for step in chunk.rows["step"]]


def test_what_is_kept_is_limited(tmp_path, config):
    kept = record(tmp_path, config, 20_000, store_max_gigabytes=1e-6)  # less than a segment
    assert kept[-1] == 19_999
    assert kept[0] > 4096
    assert kept == list(range(kept[0], 20_000))


@pytest.mark.parametrize("limit", [{}, {"store_max_gigabytes": 1.0}, {"store_max_days": 1.0}])
def test_everything_is_kept_within_the_limits(tmp_path, config, limit):
    assert record(tmp_path, config, 9000, **limit) == list(range(9000))
