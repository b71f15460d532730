"""Filters of robots with all sorts of limits, and what their limits are, read from the contract."""

import os
from typing import NamedTuple

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


def limited_robot(rate: float = 10.0, walls: bool = True, **limits: float | None) -> RobotConfig:
    """The shipped robot at another rate, with other limits of every joint, perhaps no workspace."""
    shipped = load_robot("ur5e_insert").safety
    box = shipped.workspace.model_dump() if walls else {"lower": [-9.0] * 3, "upper": [9.0] * 3}
    joints = {name: limit.model_dump() | limits for name, limit in shipped.joints.items()}
    return make_robot(control_rate=rate, safety={"joints": joints, "workspace": box})


IN_A_BOX = [
    load_robot("ur5e_insert"),
    limited_robot(acceleration=2.0),
    limited_robot(rate=100.0, velocity=1.5),
    limited_robot(rate=100.0, acceleration=1.0, deviation=0.02),
    limited_robot(rate=500.0, velocity=3.0),
    limited_robot(rate=125.0, acceleration=4.0, jerk=40.0),
    limited_robot(rate=20.0, acceleration=None, deviation=None, velocity=0.3),
]
# Where only the joints' own limits are near.
IN_THE_OPEN = [
    limited_robot(rate=10.0, walls=False, velocity=2.0, acceleration=3.0),
    limited_robot(rate=30.0, walls=False, velocity=3.0, acceleration=8.0, deviation=None),
    limited_robot(rate=10.0, walls=False, velocity=2.0, acceleration=5.0, jerk=20.0, deviation=0.5),
]


def places_in_a_box() -> list[np.ndarray]:
    """Joints with the tool somewhere in the workspace, half of them near its sides."""
    rng, bounds = np.random.default_rng(0), Bounds(IN_A_BOX[0])
    lower, upper = bounds.box
    places = [rng.uniform(lower, upper) for _ in range(12)]
    places += [np.where(rng.random(3) < 0.5, lower + 0.003, upper - 0.003) for _ in range(12)]
    return [joints for place in places if bounds.outside(joints := joints_at(place)) == 0.0]


def places_in_the_open() -> list[np.ndarray]:
    """Joints anywhere, most of them a short way from a limit."""
    rng, bounds = np.random.default_rng(0), Bounds(IN_THE_OPEN[0])
    shares = rng.beta(0.3, 0.3, (24, 6))
    return list(bounds.lower + shares * (bounds.upper - bounds.lower))


class Situation(NamedTuple):
    """A filter, what its limits are, and where the robot stands."""

    safety: SafetyFilter
    bounds: Bounds
    start: np.ndarray


def situations(robots: list[RobotConfig], places: list[np.ndarray]) -> list[Situation]:
    """Every robot at every place."""
    filters = [
        (SafetyFilter(robot, ArmKinematics(robot.kinematics)), Bounds(robot)) for robot in robots
    ]
    return [Situation(*one, place) for one in filters for place in places]


PLACES = places_in_a_box()
SITUATIONS = situations(IN_A_BOX, PLACES) + situations(IN_THE_OPEN, places_in_the_open())
