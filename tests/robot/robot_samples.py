"""Samples as a robot would give them, from numbers."""

import numpy as np

from porl_ros.robot.kinematics import ArmKinematics
from porl_ros.robot.loading import load_robot
from porl_ros.robot.observation import Sample

KINEMATICS = ArmKinematics(load_robot("ur5e_insert").kinematics)
TOOL = np.array([0.49, 0.13, 0.18])  # in the middle of the workspace


def joints_at(position) -> np.ndarray:
    """Arm joints with the tool at a position that is far from home."""
    joints = KINEMATICS.home
    for _ in range(10):
        joints = KINEMATICS.solve(joints, np.asarray(position, float))
    return joints


START = joints_at(TOOL)
SOCKET = np.array([0.5, 0.12, 0.1])


def samples(joints, socket=SOCKET) -> dict[str, Sample]:
    """Arm and socket estimate at the same instant."""
    joints = np.asarray(joints, float)
    arm = {"position": joints.copy(), "velocity": np.zeros(len(joints))}
    pose = {"position": np.asarray(socket, float), "orientation": np.array([0.0, 0.0, 0.0, 1.0])}
    return {"arm": Sample(0, arm), "socket": Sample(0, pose)}
