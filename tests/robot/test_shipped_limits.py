"""The shipped limits are ones that a UR5e can keep, and that its tasks do not run into."""

import mujoco
import numpy as np
import pytest

from porl_ros.robot.loading import load_robot
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.experts import make_expert
from porl_ros.simulation.robot import SimulatedRobot

UR5E = (150.0, 150.0, 150.0, 28.0, 28.0, 28.0)  # Nm, as the makers publish
STS3215 = (2.9,) * 5


# Not of the Franka: its accelerations are the maker's.
@pytest.mark.parametrize(
    ("name", "torques"),
    [
        ("ur5e_insert", UR5E),
        ("ur5e_lift", UR5E),
        ("so101_insert", STS3215),
    ],
)
def test_the_accelerations_take_less_torque_than_the_joints_have(name, torques):
    robot, rng = SimulatedRobot(load_robot(name)), np.random.default_rng(0)
    model, data, safety = robot.model, robot.data, robot.config.safety
    model.body_gravcomp[:] = 0.0
    joints = robot.config.kinematics.joints
    position = [model.joint(joint).qposadr[0] for joint in joints]
    speed = [model.joint(joint).dofadr[0] for joint in joints]
    limits = [safety.joints[joint] for joint in joints]
    needed = np.zeros((0, len(joints)))
    while len(needed) < 300:
        configuration = rng.uniform([j.lower for j in limits], [j.upper for j in limits])
        tool = robot.kinematics.tool_position(configuration)
        if (tool < safety.workspace.lower).any() or (tool > safety.workspace.upper).any():
            continue
        data.qpos[position], data.qvel[:], data.qacc[:] = configuration, 0.0, 0.0
        data.qvel[speed] = rng.choice([-1, 1], len(joints)) * [j.velocity for j in limits]
        data.qacc[speed] = rng.choice([-1, 1], len(joints)) * [j.acceleration for j in limits]
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        moving = np.zeros(model.nv)
        mujoco.mj_rne(model, data, 1, moving)
        moving += model.dof_armature * data.qacc
        needed = np.vstack([needed, np.abs(moving[speed])])
    share = needed.max(0) / torques
    assert (share < 0.8).all(), share


@pytest.mark.parametrize(
    ("name", "variant"), [("ur5e_insert", "calibrated"), ("ur5e_lift", "nominal")]
)
def test_the_experts_never_meet_the_filter(name, variant):
    env, rng = RobotEnv(name, variant), np.random.default_rng(0)
    expert, successes = make_expert(env), 0
    for seed in range(8):
        env.reset(seed=seed)
        ended = False
        while not ended:
            action = expert() + (0.2 if seed % 2 else 0.0) * rng.standard_normal(
                env.action_space.shape
            )
            _, _, terminated, truncated, info = env.step(action)
            assert info["act"].interventions == ()
            ended = terminated or truncated
        successes += terminated and seed % 2 == 0
    assert successes == 4  # of the four without noise
