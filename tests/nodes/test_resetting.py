"""The script of a reset, step by step, and what is said when it cannot go on."""

import numpy as np
import pytest
import yaml

from porl_ros.nodes.acting.resetting import Resetting
from porl_ros.paths import resolve_robot_config
from porl_ros.robot.config import RobotConfig

HOME = np.array([-1.57, -1.57, 1.57, -1.57, -1.57, 0.0])
AWAY = HOME + [0.2, 0.0, 0.0, 0.0, 0.0, -0.1]


def robot(**reset) -> RobotConfig:
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    content["reset"] |= reset
    return RobotConfig.model_validate(content)


@pytest.fixture
def said() -> list[str]:
    return []


def go(resetting: Resetting, sent: np.ndarray, steps: int) -> list[np.ndarray]:
    """Go as far as it wants to, the robot following at once."""
    path = [sent]
    while resetting.going and len(path) <= steps:
        path.append(resetting.wish(path[-1], path[-1]).joints)
    return path


def test_it_goes_straight_to_each_waypoint_no_faster_than_wanted(said):
    config = robot(waypoints=[AWAY.tolist(), HOME.tolist()], speed=0.5)
    resetting = Resetting(config, said.append)
    assert not resetting.going  # nobody has asked
    resetting.start()
    path = np.array(go(resetting, HOME, 200))
    assert resetting.ready
    assert any(np.allclose(place, AWAY) for place in path)
    assert np.allclose(path[-1], HOME)
    limits = [config.safety.joints[joint].velocity for joint in config.command_joints]
    most = 0.5 * np.array(limits) / config.control_rate
    steps = np.abs(np.diff(path, axis=0))
    assert (steps <= most + 1e-12).all()
    assert (steps / most).max() == pytest.approx(1.0)
    way = path[path[:, 0] > HOME[0] + 0.01][:, [0, 5]] - HOME[[0, 5]]
    assert np.allclose(way[:, 1], -0.5 * way[:, 0])  # all joints arrive together
    assert said == ["reset: going to 2 waypoints; keep clear"]


def test_it_is_started_once_until_it_is_stopped(said):
    resetting = Resetting(robot(waypoints=[AWAY.tolist()]), said.append)
    resetting.start()
    go(resetting, HOME, 3)
    resetting.start()
    assert len(said) == 1
    resetting.stop()
    assert not resetting.going
    resetting.start()
    assert len(said) == 2


def test_without_waypoints_it_is_ready_at_once(said):
    resetting = Resetting(robot(), said.append)
    assert not resetting.ready
    resetting.start()
    assert resetting.ready
    assert said == []


def test_a_robot_that_does_not_get_there_is_said(said):
    resetting = Resetting(robot(waypoints=[AWAY.tolist()], patience=2.0), said.append)
    resetting.start()
    for _ in range(20):
        resetting.wish(AWAY, HOME)
        assert resetting.going
    resetting.wish(AWAY, HOME)
    assert resetting.stuck
    assert not resetting.going
    assert not resetting.ready
    assert "waypoint 0 was not reached in 2.0 s, joint 0 is 0.2 off" in said[-1]
    assert "reset_done" in said[-1]
