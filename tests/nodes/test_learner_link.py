"""What the policy side makes of grants and bundles, however they arrive. Real topics."""

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from std_msgs.msg import Int64MultiArray, String

from porl_ros.nodes import messages
from porl_ros.nodes.base import PorlNode
from porl_ros.nodes.policies.learner_link import LearnerLink
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.policy.runtime import PolicyRuntime


@pytest.fixture
def graph(config, base):
    """A link on a node of its own, and another node that plays the learner."""
    rclpy.init()
    runtime = PolicyRuntime(config)
    runtime.swap(runtime.load(base))
    node, learner = PorlNode("policy_side"), rclpy.create_node("learner_side")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.add_node(learner)
    thread = ThreadPoolExecutor(1)
    succession = None  # has no say where the learner grants steps
    link = LearnerLink(
        node, config.name, runtime, succession, thread, grants=True, on_news=lambda: None
    )
    yield link, runtime, learner, executor
    thread.shutdown()
    executor.shutdown()
    node.destroy_node()
    learner.destroy_node()
    rclpy.shutdown()


def spin_until(executor, condition, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not come about"
        executor.spin_once(timeout_sec=0.1)


def new_bundle(folder, config, base, version: int) -> str:
    path = folder / f"{version:06d}"
    actor = load_bundle(base, config).actor
    save_bundle(path, actor, config.contract, made_by="test", version=version, exploration_std=0.2)
    return json.dumps({"path": str(path)})


def test_grants_that_come_at_once_each_have_their_swap(graph, config, base, tmp_path):
    link, runtime, learner, executor = graph
    bundles = learner.create_publisher(String, "learner/bundle", messages.LATCHED_EVENTS)
    grants = learner.create_publisher(Int64MultiArray, "learner/grant", messages.LATCHED_EVENTS)
    assert not link.grants(0)
    for version in (1, 2):
        bundles.publish(String(data=new_bundle(tmp_path, config, base, version)))
    for grant in ((100, 0, 0), (200, 1, 100), (300, 2, 200)):
        grants.publish(Int64MultiArray(data=grant))
    spin_until(executor, lambda: link.grants(299))
    assert not link.grants(300)
    for step, version in ((50, 0), (100, 1), (199, 1), (200, 2), (299, 2)):
        spin_until(executor, lambda step=step: link.prepare(step))
        assert runtime.version == version


def test_a_step_waits_for_a_bundle_that_is_not_read_yet(graph, config, base, tmp_path):
    link, runtime, learner, executor = graph
    grants = learner.create_publisher(Int64MultiArray, "learner/grant", messages.LATCHED_EVENTS)
    grants.publish(Int64MultiArray(data=(100, 7, 10)))
    spin_until(executor, lambda: link.grants(50))
    assert link.prepare(9)
    assert not link.prepare(10)
    bundles = learner.create_publisher(String, "learner/bundle", messages.LATCHED_EVENTS)
    bundles.publish(String(data="not JSON"))
    bundles.publish(String(data=json.dumps({"path": str(tmp_path / "missing")})))
    bundles.publish(String(data=new_bundle(tmp_path, config, base, 7)))
    spin_until(executor, lambda: link.prepare(10))
    assert runtime.version == 7
