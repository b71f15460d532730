"""Whether a robot config makes sense: in itself, and against the scene that stands in for it."""

from collections.abc import Iterator
from typing import Literal, NamedTuple

import numpy as np

from porl_ros.errors import ConfigError
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Controller
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.experts import make_expert
from porl_ros.simulation.robot import SimulatedRobot

STILL = 2.0  # s for which the simulated arm is told to stay
BEGINNINGS = 5  # episodes that are looked at where they begin
LARGE = 20.0  # an observation that is larger is hard to learn from
EXPERT_SEED = 3_000_000_000_000  # far from those of training and evaluation


class Finding(NamedTuple):
    """One thing that was looked at. `error`: it cannot work; `warning`: it will hardly be meant."""

    level: Literal["ok", "warning", "error"]
    subject: str  # the key of the config, or the topic
    text: str
    remedy: str = ""


def check_scene(config: RobotConfig, episodes: int) -> Iterator[Finding]:
    """Look at the config, then let the scripted expert try `episodes` in the scene's first cell,
    where policies are cloned, and in that of the config.

    Raises ConfigError when config and scene do not fit together at all.
    """
    env = RobotEnv(config)
    robot = env.robot
    yield Finding("ok", "simulation.scene", f"{config.simulation.scene} is composed")
    yield from _home(robot)
    yield from _ranges(robot)
    yield from _reach_of_an_action(robot)
    yield from _staying(robot)
    yield from _beginning(env)
    if robot.scene.suite is None:
        yield Finding(
            "warning", "suite", "the scene has none: `porl validate` cannot judge a policy here",
            f"add a section `suite` to sim/{config.simulation.scene}",
        )  # fmt: skip
    if episodes:
        for cell in dict.fromkeys((next(iter(robot.scene.variants)), config.simulation.variant)):
            yield _expert(config, cell, episodes)


def _home(robot: SimulatedRobot) -> Iterator[Finding]:
    config, found = robot.config, False
    for joint, position in zip(config.kinematics.joints, config.kinematics.home, strict=True):
        limit = config.safety.joints[joint]
        if not limit.lower < position < limit.upper:
            found = True
            yield Finding(
                "error", f"kinematics.home, {joint}",
                f"{position:g} is outside its limits, {limit.lower:g} to {limit.upper:g}",
                "move home inside, or widen safety.joints",
            )  # fmt: skip
    if not found:
        tool = _metres(robot.kinematics.home_position)
        yield Finding("ok", "kinematics.home", f"the tool is at {tool}, the joints within limits")


def _beginning(env: RobotEnv) -> Iterator[Finding]:
    """Whether episodes begin where the robot may be, with what a policy can learn from."""
    box, seen = env.robot.config.safety.workspace, []
    for seed in range(EXPERT_SEED, EXPERT_SEED + BEGINNINGS):
        seen.append(env.reset(seed=seed)[0])
        tool = env.controller.tool_position
        if (tool < box.lower).any() or (tool > box.upper).any():
            yield Finding(
                "error", "safety.workspace",
                f"an episode begins with the tool at {_metres(tool)}, outside {_metres(box.lower)} "
                f"to {_metres(box.upper)}", "move home, tool_offset or the box",
            )  # fmt: skip
            return
    yield _sizes(np.array(seen), env.controller.observation_names)


def _metres(place) -> str:
    return "(" + ", ".join(f"{value:.3f}" for value in place) + ") m"


def _ranges(robot: SimulatedRobot) -> Iterator[Finding]:
    """Limits that the joints cannot come to."""
    model, found = robot.model, False
    for joint, limit in robot.config.safety.joints.items():
        number = model.joint(joint).id
        lower, upper = model.jnt_range[number]
        if model.jnt_limited[number] and (limit.lower < lower or limit.upper > upper):
            found = True
            yield Finding(
                "error", f"safety.joints.{joint}",
                f"{limit.lower:g} to {limit.upper:g} goes beyond what the joint can, "
                f"{lower:.4g} to {upper:.4g}", "narrow lower and upper",
            )  # fmt: skip
    if not found:
        yield Finding("ok", "safety.joints", "positions are within the joints' own ranges")


def _reach_of_an_action(robot: SimulatedRobot) -> Iterator[Finding]:
    """Whether an action of 1 asks for more than the limits let through, from home."""
    config, action = robot.config, robot.config.action
    joints = config.kinematics.joints
    limits = np.array([config.safety.joints[joint].velocity for joint in joints])
    if action.kind == "joint_position":
        return
    per_second = action.scale * (config.control_rate if action.kind.endswith("_delta") else 1.0)
    if action.axes:
        shift, kinematics = 0.01, robot.kinematics
        moved = [
            kinematics.solve(kinematics.home, kinematics.home_position + shift * axis)
            for axis in (*np.eye(3), *-np.eye(3))
        ]
        speed = np.abs(np.array(moved) - kinematics.home).max(0) / shift * per_second
    else:
        speed = np.full(len(joints), per_second)
    worst = int(np.argmax(speed / limits))
    text = (
        f"an action of 1 moves {joints[worst]} at {speed[worst]:.2f} of {limits[worst]:.2f} rad/s"
    )
    if not np.isfinite(speed).all():
        yield Finding(
            "error", "kinematics.home", "from home the tool cannot move along x, y and z",
            "choose a home away from stretched and folded arms",
        )  # fmt: skip
    elif (speed > limits).any():
        yield Finding(
            "warning", "action.scale", f"{text}: the filter slows it down",
            "lower action.scale, or raise safety.joints.*.velocity if the robot can",
        )  # fmt: skip
    else:
        yield Finding("ok", "action.scale", text)


def _staying(robot: SimulatedRobot) -> Iterator[Finding]:
    """Whether the simulated drives hold the arm where it is told to stay."""
    robot.reset(EXPERT_SEED)
    told = robot.command
    for _ in range(round(STILL * robot.config.control_rate)):
        samples = robot.step(told)
    off = np.abs(Controller(robot.config).joints(samples) - told)
    limits = [
        robot.config.safety.joints[j].deviation or np.inf for j in robot.config.command_joints
    ]
    worst = int(np.argmax(off / limits))
    joint = robot.config.command_joints[worst]
    if off[worst] > limits[worst]:
        yield Finding(
            "error", f"safety.joints.{joint}.deviation",
            f"told to stay, it is {off[worst]:.2g} away after {STILL:g} s, over {limits[worst]:g}",
            "give the scene's actuator more gain, or raise deviation",
        )  # fmt: skip
    else:
        yield Finding("ok", "simulation", f"told to stay, the arm stays within {off.max():.1e} rad")


def _sizes(seen: np.ndarray, names: tuple[str, ...]) -> Finding:
    """Of observations (n, k) where episodes begin."""
    largest = np.abs(seen).max(0)
    worst = int(np.argmax(largest))
    if largest[worst] > LARGE:
        return Finding(
            "warning", f"observation, {names[worst]}",
            f"is {largest[worst]:.1f} where episodes begin; policies learn best from about 1",
            "lower the feature's scale",
        )  # fmt: skip
    text = f"{len(names)} elements, at most {largest[worst]:.1f} where episodes begin"
    return Finding("ok", "observation", text)


def _expert(config: RobotConfig, cell: str, episodes: int) -> Finding:
    env = RobotEnv(config, cell)
    try:
        expert = make_expert(env)
    except ConfigError as error:  # a person may know how
        return Finding("warning", f"cell {cell}", str(error), "see docs/operation.md: taking over")
    successes = changed = steps = 0
    for seed in range(EXPERT_SEED, EXPERT_SEED + episodes):
        env.reset(seed=seed)
        ended = False
        while not ended:
            _, _, terminated, truncated, info = env.step(expert())
            ended, steps = terminated or truncated, steps + 1
            changed += bool(info["act"].interventions)
        successes += terminated
    text = f"the scripted expert succeeds in {successes} of {episodes} episodes"
    if changed:
        text += f"; the safety filter changed {changed / steps:.1%} of its commands"
    if successes == 0:
        remedy = "watch one (docs/bring-your-robot.md); is the task within reach?"
        return Finding("error", f"cell {cell}", text, remedy)
    if successes < episodes or changed > 0.05 * steps:
        remedy = "is everything within reach, and are the limits those of the robot?"
        return Finding("warning", f"cell {cell}", text, remedy)
    return Finding("ok", f"cell {cell}", text)
