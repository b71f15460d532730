"""The shipped robot with each kind of action."""

from robot_files import make_robot

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot

COMMAND = load_robot("ur5e_insert").model_dump(mode="json")["action"]["command"]
KINDS = {
    "cartesian_position_delta": {"scale": 0.012, "max_lead": 0.02},
    "cartesian_twist": {"scale": 0.12, "turn_scale": 0.5, "max_lead": 0.02, "max_turn": 0.1},
    "joint_position": {"max_lead": 0.15},
    "joint_position_delta": {"scale": 0.04, "max_lead": 0.1},
    "joint_velocity": {"scale": 0.4, "max_lead": 0.1},
}


def robot_of(kind: str, rate: float = 10.0, velocity: float | None = None) -> RobotConfig:
    """The shipped robot with another kind of action, rate, and speed limit of its elbow."""
    action = {"kind": kind, "command": COMMAND} | KINDS[kind]
    content = make_robot(control_rate=rate).model_dump(mode="json") | {"action": action}
    if velocity:
        content["safety"]["joints"]["elbow_joint"]["velocity"] = velocity
    return RobotConfig.model_validate(content)
