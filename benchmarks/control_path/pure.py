"""A control step without ROS, recording and clock: what the policy node cannot do without."""

import time

import numpy as np

from porl_ros.policy.bundle import load_bundle
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Controller
from porl_ros.robot.observation import Sample
from porl_ros.simulation.robot import SimulatedRobot


def step_times(config: RobotConfig, base, steps: int) -> list[float]:
    """Seconds from samples to command, of a robot that is where it was last told to be."""
    controller, actor = Controller(config), load_bundle(base, config).actor.for_control()
    robot = SimulatedRobot(config)
    samples, rng = dict(robot.reset(0)), np.random.default_rng(0)
    joints = len(config.kinematics.joints)
    observation = controller.begin(samples)
    found = []
    for step in range(1, steps + 1):
        stamp = robot.time_ns + step * config.period_ns
        samples = {name: Sample(stamp, sample.values) for name, sample in samples.items()}
        noise = 0.2 * rng.standard_normal(len(controller.action_names))
        begin = time.perf_counter()
        if step > 1:
            observation = controller.observe(samples).observation
        act = controller.act(actor(observation) + noise)
        found.append(time.perf_counter() - begin)
        samples["arm"].values["position"][:] = act.command[:joints]
    return found
