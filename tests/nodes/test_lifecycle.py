"""By hand, through the lifecycle services, as an operator's tools do it: no restart is needed."""

import gc
import weakref
from collections.abc import Iterable

import pytest
import rclpy
from by_hand import (
    ACTIVATE,
    ACTIVE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    INACTIVE,
    UNCONFIGURED,
    Operator,
)
from rclpy.lifecycle import TransitionCallbackReturn
from running import System, read_rows, running
from std_msgs.msg import Float64MultiArray

from porl_ros.nodes import messages
from porl_ros.nodes.bringup.description import NodeSpec
from porl_ros.nodes.bringup.processes import NodeProcesses
from porl_ros.nodes.policy_node import PolicyNode
from porl_ros.nodes.watching.monitor import Monitor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def system(tmp_path_factory, base) -> Iterable[System]:
    """A simulation, and a policy node that waits to be configured."""
    folder, extra = tmp_path_factory.mktemp("lifecycle"), {"autostart": False}
    with running(folder, base, extra=extra, learner=False) as up:
        yield up


@pytest.fixture(scope="module")
def operator(system) -> Operator:
    return Operator(system)


def steps_go_on(system: System) -> None:
    goal = system.monitor.policy_steps + 60
    system.wait_for(lambda: system.monitor.policy_steps >= goal)


def test_the_whole_life_of_a_policy_node(system, operator):
    assert operator.state("policy") == UNCONFIGURED
    assert operator.change("policy", CONFIGURE) == [True]
    assert operator.state("policy") == INACTIVE
    assert system.monitor.policy_version is None
    assert operator.change("policy", ACTIVATE) == [True]
    steps_go_on(system)

    assert operator.change("policy", DEACTIVATE) == [True]
    assert operator.state("policy") == INACTIVE
    stood = system.monitor.policy_steps
    assert operator.change("policy", ACTIVATE) == [True]
    assert operator.state("policy") == ACTIVE
    assert system.monitor.policy_steps >= stood  # it goes on with its run
    steps_go_on(system)

    assert operator.change("policy", DEACTIVATE, CLEANUP) == [True, True]
    assert operator.state("policy") == UNCONFIGURED
    system.wait_for(lambda: commanders(system) == 0)
    recorded = read_rows(system.folder / "store")
    assert len(recorded["step"]) >= 120

    system.monitor.policy_steps = 0
    assert operator.change("policy", CONFIGURE, ACTIVATE) == [True, True]
    steps_go_on(system)  # counted from 0: another run in the same store
    assert commanders(system) == 1
    assert len(list((system.folder / "store").glob("writers/*/*"))) == 2


def test_a_configure_that_is_refused_can_be_repeated_with_something_better(system, operator, base):
    """Follows the test above: the policy node is active."""
    operator.change("policy", DEACTIVATE, CLEANUP)
    operator.set_text("policy", "bundle", "/nowhere")
    assert operator.change("policy", CONFIGURE) == [False]
    assert operator.state("policy") == UNCONFIGURED
    assert "/nowhere: there is no policy bundle here" in system.nodes.log_tail("policy")
    operator.set_text("policy", "bundle", str(base))
    assert operator.change("policy", CONFIGURE, ACTIVATE) == [True, True]
    steps_go_on(system)


def test_a_simulation_that_is_configured_anew_is_found_again(system, operator):
    """Its clock begins anew, so the policy node begins a new episode."""
    assert operator.change("simulation", DEACTIVATE, CLEANUP) == [True, True]
    stood = system.monitor.policy_steps
    assert operator.change("simulation", CONFIGURE, ACTIVATE) == [True, True]
    system.wait_for(lambda: system.monitor.policy_steps > stood + 120)
    assert system.nodes.stop() == {"policy": 0, "simulation": 0}


def test_a_node_that_fails_can_be_configured_again(tmp_path):
    """By whoever moves it through its lifecycle; with `autostart` it ends instead."""
    parameters = {"robot_config": "ur5e_insert", "autostart": False}
    spec = NodeSpec("simulation_node", "simulation", parameters)
    with NodeProcesses([spec], tmp_path) as nodes, Monitor() as monitor:
        system = System(tmp_path, nodes, monitor)
        operator = Operator(system)
        command = monitor.node.create_publisher(
            Float64MultiArray, "forward_position_controller/commands", messages.COMMAND
        )
        for _ in range(3):
            assert operator.change("simulation", CONFIGURE, ACTIVATE) == [True, True]
            system.wait_for(lambda: command.get_subscription_count() > 0)
            command.publish(Float64MultiArray(data=[0.0]))  # of another robot
            system.wait_for(lambda: operator.state("simulation") == UNCONFIGURED)
        assert nodes.log_path("simulation").read_text().count("[FATAL]") == 3
        assert nodes.stop() == {"simulation": 0}


def test_cleanup_lets_go_of_the_policy(tmp_path, base):
    """What nobody holds any more is freed, on a GPU, too."""
    given = {"bundle": base, "store": tmp_path / "store", "learner": "true", "mode": "paced"}
    pairs = [part for name, value in given.items() for part in ("-p", f"{name}:={value}")]
    rclpy.init(args=["--ros-args", *pairs])
    node = PolicyNode()
    try:
        for _ in range(2):
            assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            held = weakref.ref(node._parts.interaction._runtime)
            assert held() is not None
            assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
            gc.collect()
            assert held() is None
    finally:
        node.shut_down()
        node.destroy_node()
        rclpy.shutdown()


def commanders(system: System) -> int:
    topic = "/forward_position_controller/commands"
    return len(system.monitor.node.get_publishers_info_by_topic(topic))
