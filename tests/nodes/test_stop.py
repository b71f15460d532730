"""The operator's stop: at once, in every state, and nothing is sent after it until it is reset."""

import json
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import yaml
from by_hand import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, Operator
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from running import System, read_rows, running
from scripted_robot import ScriptedRobot, scripted_robot
from std_msgs.msg import Bool, String
from std_srvs.srv import Trigger

from porl_ros.nodes import messages
from porl_ros.paths import resolve_robot_config
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.policy.network import Actor
from porl_ros.robot.loading import load_robot
from porl_ros.robot.messages import nanoseconds

pytestmark = pytest.mark.slow

LATCHED, PLAIN = messages.LATCHED, messages.qos(reliable=True)
pressed: list[float] = []  # when; s of time.monotonic()
HASTY = messages.qos(reliable=False)


@pytest.fixture(scope="module")
def robot(tmp_path_factory, config, base) -> Iterable[ScriptedRobot]:
    with scripted_robot(tmp_path_factory.mktemp("stop"), config, base) as up:
        yield up


def nothing_is_sent(robot: ScriptedRobot, periods: int = 3) -> bool:
    """Observations come, the node has seen them all, and no command comes of them."""
    # The last command and the state that followed it come by two topics, in any order.
    robot.sync()
    robot.spin()
    sent = len(robot.commands)
    for _ in range(periods):
        robot.run()
        robot.sync()
    return len(robot.commands) == sent


def first_heard(robot: ScriptedRobot) -> dict:
    """What somebody hears first who comes now and asks for whatever there is: how it is, not how it
    once was (`ros2 topic echo --once`)."""
    heard: list[dict] = []
    subscription = robot.node.create_subscription(
        String, "policy/state", lambda m: heard.append(json.loads(m.data)), messages.LATCHED_EVENTS
    )
    robot.until(lambda: heard, "the state")
    robot.node.destroy_subscription(subscription)
    return heard[0]


def release(robot: ScriptedRobot) -> None:
    """Reset the stop. The first command of the new episode is the sentinel: commands of one
    publisher arrive in order, so none was sent before it that had not come by now."""
    sent, since = len(robot.commands), robot.now
    assert robot.trigger("reset_stop").startswith("released")
    robot.until(lambda: len(robot.commands) > sent, "acts again")
    assert robot.commands[sent][0] >= since  # the stamp of the observation that it answers


def press_service(robot: ScriptedRobot) -> None:
    robot.trigger("stop")


def press_topic(robot: ScriptedRobot, quality) -> None:
    """As a button does that is there for good; it is found before it is pressed."""
    topic = robot.node.create_publisher(Bool, "stop", quality)
    robot.until(lambda: topic.get_subscription_count() > 0, "button is found")
    for _ in range(100):
        topic.publish(Bool(data=False))  # says nothing
    robot.act()
    pressed.append(time.monotonic())
    topic.publish(Bool(data=True))
    topic.publish(Bool(data=False))  # does not release it
    robot.until(lambda: robot.state[0] == "stopped", "stopped")
    robot.node.destroy_publisher(topic)


def test_the_stop_command_comes_within_a_period_and_is_the_last(robot):
    robot.configure()
    delays = []
    for quality in (LATCHED, PLAIN, HASTY, None, None):
        robot.act()
        pressed.append(time.monotonic())
        if quality:
            press_topic(robot, quality)
        else:
            press_service(robot)
        robot.until(lambda: robot.state == ("stopped", "stop"), "stopped")
        assert nothing_is_sent(robot)
        assert np.array_equal(robot.commands[-1][1], robot.commands[-2][1])  # stands
        delays.append(robot.heard_at[-1] - pressed[-1])
        release(robot)
    assert np.median(delays) < 1.0 / robot.config.control_rate, delays


def test_the_episode_that_was_stopped_is_truncated(robot):
    """Follows the test above."""
    robot.operator.change("policy", DEACTIVATE, CLEANUP)
    rows = read_rows(robot.system.folder / "store")
    last_of_each = np.flatnonzero(np.diff(rows["episode"], append=-1))
    assert len(last_of_each) >= 5
    assert (rows["truncated"] | rows["terminated"])[last_of_each].all()
    assert rows["truncated"][last_of_each].sum() >= 5


@pytest.mark.parametrize("states", [(), (CONFIGURE,), (CONFIGURE, ACTIVATE, DEACTIVATE)])
def test_in_every_state_of_the_lifecycle(robot, states):
    """Unconfigured, inactive, and inactive after it was active; follows the tests above."""
    robot.operator.change("policy", *states)
    press_service(robot)
    robot.until(lambda: robot.state == ("stopped", "stop"), "stopped")
    assert all(robot.operator.change("policy", *[CONFIGURE] * (not states), ACTIVATE))
    assert nothing_is_sent(robot, 10)
    assert robot.state == ("stopped", "stop")
    assert first_heard(robot)["state"] == "stopped"
    release(robot)
    robot.act()
    robot.operator.change("policy", DEACTIVATE, CLEANUP)


def test_while_a_bundle_loads(robot, tmp_path, config, base):
    """Follows the tests above: unconfigured. The stop is answered before the loading is done."""
    size = load_bundle(base).manifest
    large = Actor(size.observation_size, size.action_size, hidden=(4096, 4096))
    path = tmp_path / "large"
    save_bundle(path, large, config.contract, made_by="test", version=0, exploration_std=0.0)
    robot.set(bundle=str(path))
    robot.operator.state("policy")
    load = robot.operator.client(ChangeState, "policy/change_state")
    stop = robot.operator.client(Trigger, "stop")
    loading = load.call_async(ChangeState.Request(transition=Transition(id=CONFIGURE)))
    stopping = stop.call_async(Trigger.Request())
    robot.system.wait_for(stopping.done)
    assert not loading.done()
    robot.system.wait_for(loading.done)
    assert robot.operator.change("policy", ACTIVATE) == [True]
    assert nothing_is_sent(robot, 10)
    release(robot)
    robot.act()


def test_during_shutdown(robot):
    """Follows the tests above: the node acts."""
    stop = robot.operator.client(Trigger, "stop")
    robot.system.nodes.interrupt("policy")
    stop.call_async(Trigger.Request())
    assert robot.system.nodes.stop() == {"policy": 0}
    robot.spin()
    assert np.array_equal(robot.commands[-1][1], robot.commands[-2][1])


def test_a_button_that_was_pressed_before_the_node_came(tmp_path, config, base):
    with scripted_robot(tmp_path, config, base) as robot:
        topic = robot.node.create_publisher(Bool, "stop", LATCHED)
        topic.publish(Bool(data=True))
        robot.configure()
        robot.until(lambda: robot.state == ("stopped", "stop"), "stopped")
        assert nothing_is_sent(robot, 10)
        assert robot.commands == []
        release(robot)


def weak_robot(folder: Path) -> Path:
    """The shipped robot with a twentieth of its acceleration: it needs a while to stop."""
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    for limit in content["safety"]["joints"].values():
        limit["acceleration"] /= 20.0
    path = folder / "weak.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_robot_that_cannot_stop_at_once_ramps_down(tmp_path):
    path = weak_robot(tmp_path)
    config = load_robot(str(path))
    actor, bundle = Actor(15, 3), tmp_path / "bundle"
    with_bias(actor)
    save_bundle(bundle, actor, config.contract, made_by="test", version=0, exploration_std=0.0)
    with scripted_robot(tmp_path, config, bundle, robot_config=str(path)) as robot:
        robot.configure()
        robot.act(8)
        press_service(robot)
        acted = len(robot.commands)
        assert robot.state[0] in ("acting", "ramping")
        robot.until(lambda: robot.state == ("stopped", "stop"), "stopped")
        assert nothing_is_sent(robot)
        commands = np.array([command for _, command in robot.commands])
        period = 1.0 / config.control_rate
        limits = [config.safety.joints[joint].acceleration for joint in config.command_joints]
        changes = np.diff(commands[acted - 3 :], 2, axis=0)
        assert (np.abs(changes) <= np.array(limits) * period**2 + 1e-9).all()
        assert len(commands) - acted >= 2, "it stopped at once"
        assert np.array_equal(commands[-1], commands[-2])
        between = np.diff(robot.heard_at[acted:-1])
        assert (between > 0.8 * period).all()
        release(robot)


def with_bias(actor: Actor) -> None:
    """Let it go one way, whatever it sees."""
    last = [module for module in actor.modules() if hasattr(module, "bias")][-1]
    last.bias.data[:] = 3.0


class Listener:
    """Hears everything that goes between a simulation and the policy side."""

    def __init__(self, system: System, config):
        self.commands, self.observed, self.states = [], [], []
        command, source = config.action.command, config.observation.sources[0]
        deep, listen = messages.qos(reliable=True, depth=1000), system.monitor.node
        listen.create_subscription(
            messages.MESSAGES[command.type], command.topic,
            lambda m: self.commands.append(messages.from_command(config, m)), deep,
        )  # fmt: skip
        listen.create_subscription(
            messages.MESSAGES[source.type], source.topic,
            lambda m: self.observed.append(nanoseconds(m.header.stamp)), deep,
        )  # fmt: skip
        listen.create_subscription(
            String, "policy/state", lambda m: self.states.append(json.loads(m.data)["state"]), deep
        )

    @property
    def unanswered(self) -> bool:
        """The simulation shows the same observation again and again."""
        return len(set(self.observed[-3:])) == 1


def test_in_lock_step_the_stop_command_answers_and_the_simulator_stands_still(tmp_path, base):
    with running(tmp_path, base, learner=False) as system:
        operator, heard = Operator(system), Listener(system, load_robot("ur5e_insert"))
        moved = 0
        for _ in range(2):
            goal = len(heard.commands) + 50
            system.wait_for(lambda goal=goal: len(heard.commands) > goal)
            states = len(heard.states)
            operator.call(Trigger, "stop", Trigger.Request())
            system.wait_for(lambda: heard.states[-1] == "stopped" and heard.unanswered)
            seen, sent = len(heard.observed), len(heard.commands)
            if "ramping" in heard.states[states:]:  # else it was pressed between two episodes
                moved += 1
                assert np.array_equal(heard.commands[-1][0], heard.commands[-2][0])
            system.wait_for(lambda seen=seen: len(heard.observed) >= seen + 3)
            assert heard.unanswered
            assert len(heard.commands) == sent
            operator.call(Trigger, "reset_stop", Trigger.Request())
            system.wait_for(lambda sent=sent: len(heard.commands) > sent)
            assert heard.commands[sent][1] > heard.observed[seen]  # of the new episode
        assert moved > 0
        assert system.nodes.stop() == {"policy": 0, "simulation": 0}
