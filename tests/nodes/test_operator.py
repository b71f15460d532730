"""What an operator says, through the real node: marks, resets, the base, in every state."""

from collections.abc import Iterable

import numpy as np
import pytest
from by_hand import CLEANUP, CONFIGURE, DEACTIVATE
from geometry_msgs.msg import TwistStamped
from running import read_rows, write_config
from scripted_robot import ScriptedRobot, scripted_robot
from std_msgs.msg import Bool, Float64
from std_srvs.srv import Trigger

from porl_ros.nodes import messages
from porl_ros.robot.loading import load_robot

pytestmark = pytest.mark.slow

VERBS = "mark_success", "mark_failure", "end_episode", "reset_done", "save", "back_to_base"
AWAY = [-1.3, -1.6, 1.7, -1.6, -1.5, 0.1]
NEAR = [-1.4, -1.6, 1.7, -1.6, -1.5, 0.0]


@pytest.fixture(scope="module")
def robot(tmp_path_factory, base) -> Iterable[ScriptedRobot]:
    folder = tmp_path_factory.mktemp("operator")
    reset = {"waypoints": [AWAY, NEAR], "speed": 0.8, "then": "operator"}
    path = write_config(folder / "robot.yaml", reward={"source": "operator"}, reset=reset)
    config = load_robot(path)
    with scripted_robot(folder, config, base, robot_config=str(path)) as up:
        up.robot.reset(0)  # somewhere where it may be
        yield up


def ask(robot: ScriptedRobot, verb: str) -> tuple[bool, str]:
    answer = robot.operator.call(Trigger, verb, Trigger.Request())
    return answer.success, answer.message


def test_every_verb_answers_in_every_state(robot):
    for verb in VERBS:
        done, text = ask(robot, verb)
        assert not done
        assert "nothing is loaded; configure and activate the node" in text
    robot.operator.change("policy", CONFIGURE)
    for verb in VERBS:
        done, text = ask(robot, verb)
        assert done == (verb == "save")
        assert "inactive" in text or "on disk" in text
    robot.operator.change("policy", CLEANUP)
    assert "nothing is loaded" in ask(robot, "mark_success")[1]


def wait_for_operator(robot: ScriptedRobot) -> None:
    robot.until(lambda: robot.state == ("waiting", "operator"), "waits for the operator")
    robot.sync()


def test_the_robot_goes_to_its_waypoints_and_waits_for_the_operator(robot):
    robot.configure()
    assert not ask(robot, "reset_done")[0]  # it is still on its way
    since = len(robot.commands)
    robot.until(lambda: robot.said("waiting", "reset"), "moves")
    wait_for_operator(robot)
    sent = np.array([command for _, command in robot.commands[since:]])
    assert np.abs(sent - AWAY).max(1).min() < 1e-6
    assert np.abs(sent[-1] - NEAR).max() < 1e-6
    measured = robot.measured()["arm"].position
    assert np.abs(np.array(measured) - NEAR).max() < robot.config.reset.tolerance
    limits = [robot.config.safety.joints[joint].velocity for joint in robot.config.command_joints]
    most = 0.8 * np.array(limits) / robot.config.control_rate
    assert (np.abs(np.diff(sent, axis=0)) <= most + 1e-9).all()
    assert "reset: going to 2 waypoints; keep clear" in robot.system.nodes.log_tail("policy")
    assert robot.resets == 0  # no simulation was asked for anything


def test_nothing_is_sent_while_it_waits(robot):
    sent = len(robot.commands)
    for _ in range(5):
        robot.run()
        robot.sync()
    assert len(robot.commands) == sent
    for verb in ("mark_success", "mark_failure", "end_episode"):
        done, text = ask(robot, verb)
        assert not done
        assert "no episode runs" in text
    assert ask(robot, "reset_done") == (True, "the next episode begins")
    robot.act()
    assert robot.commands[sent][0] > 0


@pytest.mark.parametrize("verb", ["mark_success", "mark_failure", "end_episode"])
def test_a_mark_ends_the_episode(robot, verb):
    said = []
    topic = robot.node.create_subscription(
        Bool, "policy/episode_success", lambda m: said.append(m.data), messages.EVENTS
    )
    robot.until(lambda: topic.handle.get_publisher_count() > 0, "is heard")
    done, text = ask(robot, verb)
    assert done, text
    robot.until(lambda: said, "ended")
    assert said == [verb == "mark_success"]
    robot.node.destroy_subscription(topic)
    assert not ask(robot, "mark_success")[0]
    wait_for_operator(robot)
    assert ask(robot, "reset_done")[0]
    robot.act()


def test_saving_and_the_base(robot):
    done, text = ask(robot, "save")
    assert done
    assert "steps are on disk" in text
    assert ask(robot, "back_to_base") == (False, "the base acts already, version 0")


def test_a_person_may_move_the_robot_while_it_waits(robot):
    assert ask(robot, "end_episode")[0]
    wait_for_operator(robot)
    twist = TwistStamped()
    twist.twist.linear.z = 0.05
    topic = robot.node.create_publisher(TwistStamped, "teleop/twist", messages.EVENTS)
    robot.until(lambda: topic.get_subscription_count() > 0, "is heard")
    sent, rows = len(robot.commands), robot.commands[-1][1]

    def moved() -> bool:
        topic.publish(twist)
        robot.sync()
        return len(robot.commands) > sent + 5

    robot.until(moved, "moves")
    assert robot.state == ("human", "between")
    assert not ask(robot, "reset_done")[0]  # it moves
    wait_for_operator(robot)
    assert np.abs(robot.commands[-1][1] - rows).max() > 0.01
    assert np.array_equal(robot.commands[-1][1], robot.commands[-2][1])
    assert ask(robot, "reset_done")[0]
    robot.act()


def test_stopped_while_the_script_moves_it(robot):
    assert ask(robot, "mark_failure")[0]
    robot.until(lambda: robot.state == ("waiting", "reset"), "moves")
    robot.trigger("stop")
    robot.until(lambda: robot.state == ("stopped", "stop"), "stopped")
    sent = len(robot.commands)
    for _ in range(5):
        robot.run()
        robot.sync()
    assert len(robot.commands) == sent
    assert np.array_equal(robot.commands[-1][1], robot.commands[-2][1])
    assert ask(robot, "reset_done") == (False, "stopped; call reset_stop first")
    robot.trigger("reset_stop")
    wait_for_operator(robot)  # from the first waypoint on, again
    assert ask(robot, "reset_done")[0]
    robot.act()


def test_what_was_marked_is_recorded(robot):
    """Follows the tests above."""
    robot.operator.change("policy", DEACTIVATE, CLEANUP)
    rows = read_rows(robot.system.folder / "store")
    ends = np.flatnonzero(np.diff(rows["episode"], append=-1))
    marks = rows["terminated"][ends].tolist(), rows["reward"][ends].tolist()
    assert marks[0][:3] == [1, 1, 0]
    assert marks[1][:3] == [1.0, 0.0, 0.0]
    assert (rows["terminated"] | rows["truncated"])[ends].all()
    assert rows["reward"].sum() == 1.0
    assert "operator, mark_success: episode 0 is a success" in log_of(robot)
    assert robot.system.nodes.stop() == {"policy": 0}


def log_of(robot: ScriptedRobot) -> str:
    return robot.system.nodes.log_path("policy").read_text()


def test_rewards_and_ends_from_topics(tmp_path, base):
    reward = {"source": "topic", "done": "task/done", "reward": "task/reward", "range": [-1.0, 1.0]}
    path = write_config(tmp_path / "robot.yaml", reward=reward)
    with scripted_robot(tmp_path, load_robot(path), base, robot_config=str(path)) as robot:
        robot.configure()
        done = robot.node.create_publisher(Bool, "task/done", messages.EVENTS)
        worth = robot.node.create_publisher(Float64, "task/reward", messages.EVENTS)
        robot.until(lambda: done.get_subscription_count() and worth.get_subscription_count())
        robot.act()
        # Whoever publishes may be found a little later than he finds; the first is out of range.
        robot.until(lambda: worth.publish(Float64(data=7.0)) or "7.0 is outside" in log_of(robot))
        worth.publish(Float64(data=0.25))
        done.publish(Bool(data=False))
        robot.sync()
        robot.act(2)
        resets = robot.resets
        worth.publish(Float64(data=-0.5))

        def over() -> bool:
            done.publish(Bool(data=True))
            robot.sync()
            return robot.resets > resets

        robot.until(over, "the episode is over")
        assert robot.system.nodes.stop() == {"policy": 0}
    rows = read_rows(tmp_path / "store")
    first = rows["episode"] == 0
    assert sorted(rows["reward"][first][rows["reward"][first] != 0.0]) == [-0.5, 0.25]
    assert rows["reward"][first][-1] == -0.5
    assert rows["terminated"][first][-1] == 1
    assert "task/reward: 7.0 is outside reward.range, -1.0 to 1.0; ignored" in log_of(robot)
