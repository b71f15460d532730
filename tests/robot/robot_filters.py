"""Filters of robots with all sorts of limits, and what their limits are, read from the contract."""

import os

import numpy as np
from robot_files import make_robot
from robot_samples import joints_at

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics
from porl_ros.robot.loading import load_robot
from porl_ros.robot.safety import SafetyFilter

# Cases of each property: a hundred in the suite, PORL_CASES=10000 for the long form.
CASES = int(os.environ.get("PORL_CASES", "100"))
EPSILON = 1e-9  # rounding of rad, rad a step, ...


class Bounds:
    """The limits of a robot per control step, and an arm to see where the tool is."""

    def __init__(self, robot: RobotConfig):
        limits = [robot.safety.joints[joint] for joint in robot.command_joints]
        dt = 1.0 / robot.control_rate
        none = float("inf")
        self.lower = np.array([limit.lower for limit in limits])
        self.upper = np.array([limit.upper for limit in limits])
        self.velocity = np.array([limit.velocity for limit in limits]) * dt
        self.acceleration = np.array([limit.acceleration or none for limit in limits]) * dt**2
        self.jerk = np.array([limit.jerk or none for limit in limits]) * dt**3
        self.deviation = np.array([limit.deviation or none for limit in limits])
        self.box = np.array(robot.safety.workspace.lower), np.array(robot.safety.workspace.upper)
        self.kinematics = ArmKinematics(robot.kinematics)

    def outside(self, joints: np.ndarray) -> float:
        """How far the tool is out of the workspace, m."""
        tool, (lower, upper) = self.kinematics.tool_position(joints[:6]), self.box
        return max(0.0, *(lower - tool), *(tool - upper))


def limited_robot(rate: float = 10.0, **limits: float | None) -> RobotConfig:
    """The shipped robot at another rate, with other limits of every joint."""
    joints = load_robot("ur5e_insert").safety.joints
    return make_robot(
        control_rate=rate,
        safety={"joints": {name: limit.model_dump() | limits for name, limit in joints.items()}},
    )


ROBOTS = [
    load_robot("ur5e_insert"),
    limited_robot(acceleration=2.0),
    limited_robot(rate=100.0, velocity=1.5),
    limited_robot(rate=100.0, acceleration=1.0, deviation=0.02),
    limited_robot(rate=500.0, velocity=3.0),
    limited_robot(rate=125.0, acceleration=4.0, jerk=40.0),
    limited_robot(rate=10.0, acceleration=5.0, jerk=20.0, deviation=None),
    limited_robot(rate=20.0, acceleration=None, deviation=None, velocity=0.3),
]
FILTERED = [
    (SafetyFilter(robot, ArmKinematics(robot.kinematics)), Bounds(robot)) for robot in ROBOTS
]


def starts() -> list[np.ndarray]:
    """Joints with the tool somewhere in the workspace, some of them near its sides."""
    rng, (lower, upper) = np.random.default_rng(0), FILTERED[0][1].box
    places = [rng.uniform(lower, upper) for _ in range(12)]
    places += [np.where(rng.random(3) < 0.5, lower + 0.003, upper - 0.003) for _ in range(12)]
    return [joints for place in places if FILTERED[0][1].outside(joints := joints_at(place)) == 0.0]


STARTS = starts()
