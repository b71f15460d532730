"""The policy node's parameters for what it records to."""

from collections.abc import Iterable

import numpy as np
import pytest
import rclpy
from rclpy.parameter import Parameter

from porl_ros.errors import ConfigError
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.recording import declare_recording, open_writer
from porl_ros.replay import Actor, read_store, robot_schema


@pytest.fixture
def node(tmp_path) -> Iterable[PorlNode]:
    rclpy.init()
    try:
        made = PorlNode("recorder")
        declare_recording(made)
        give(made, store=str(tmp_path / "store"))
        yield made
        made.destroy_node()
    finally:
        rclpy.shutdown()


def give(node: PorlNode, **values) -> None:
    node.set_parameters([Parameter(name, value=value) for name, value in values.items()])


def record(node: PorlNode, config, steps: int) -> list[int]:
    """Record that many steps; which of them are there at the end."""
    schema = robot_schema(config)
    with open_writer(node, config) as writer:
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
    chunks = read_store(node.value("store"), config.contract_hash)
    return [int(step) for chunk in chunks for step in chunk.rows["step"]]


def test_what_is_kept_is_limited(node, config):
    give(node, store_max_gigabytes=1e-6)  # less than a segment
    kept = record(node, config, 20_000)
    assert kept[-1] == 19_999
    assert kept[0] > 4096
    assert kept == list(range(kept[0], 20_000))


@pytest.mark.parametrize("limit", [{}, {"store_max_gigabytes": 1.0}, {"store_max_days": 1.0}])
def test_everything_is_kept_within_the_limits(node, config, limit):
    give(node, **limit)
    assert record(node, config, 9000) == list(range(9000))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("flush_interval", 0.0),
        ("flush_interval", float("nan")),
        ("store_max_gigabytes", -1.0),
        ("store_max_days", float("inf")),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(node, config, name, value):
    give(node, **{name: value})
    with pytest.raises(ConfigError, match=rf"parameter {name} = {value}: must be "):
        open_writer(node, config)
