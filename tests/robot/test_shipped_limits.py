"""The shipped limits are ones that a UR5e can keep, and that its tasks do not run into."""

import mujoco
import numpy as np
import pytest

from porl_ros.robot.loading import load_robot
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.experts import make_expert
from porl_ros.simulation.robot import SimulatedRobot

TORQUES = np.array([150.0, 150.0, 150.0, 28.0, 28.0, 28.0])  # Nm, as Universal Robots publishes


@pytest.mark.parametrize("name", ["ur5e_insert", "ur5e_lift"])
def test_the_accelerations_take_less_torque_than_the_joints_have(name):
    robot, rng = SimulatedRobot(load_robot(name)), np.random.default_rng(0)
    model, data, safety = robot.model, robot.data, robot.config.safety
    model.body_gravcomp[:] = 0.0
    joints = robot.config.kinematics.joints
    position = [model.joint(joint).qposadr[0] for joint in joints]
    speed = [model.joint(joint).dofadr[0] for joint in joints]
    limits = [safety.joints[joint] for joint in joints]
    needed = np.zeros((0, 6))
    while len(needed) < 300:
        configuration = rng.uniform([j.lower for j in limits], [j.upper for j in limits])
        tool = robot.kinematics.tool_position(configuration)
        if (tool < safety.workspace.lower).any() or (tool > safety.workspace.upper).any():
            continue
        data.qpos[position], data.qvel[:], data.qacc[:] = configuration, 0.0, 0.0
        data.qvel[speed] = rng.choice([-1, 1], 6) * [j.velocity for j in limits]
        data.qacc[speed] = rng.choice([-1, 1], 6) * [j.acceleration for j in limits]
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        torques = np.zeros(model.nv)
        mujoco.mj_rne(model, data, 1, torques)
        torques += model.dof_armature * data.qacc
        needed = np.vstack([needed, np.abs(torques[speed])])
    assert (needed.max(0) < 0.8 * TORQUES).all(), needed.max(0) / TORQUES


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
