"""Replays in MuJoCo what was sent to a robot: where would its tool have gone in this cell?"""

from typing import NamedTuple

import mujoco
import numpy as np

from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.composing import PAYLOAD
from porl_ros.simulation.robot import SimulatedRobot
from porl_ros.simulation.tasks import start_joints
from porl_ros.simulation.variant import Variant
from porl_ros.validation.calibration_data import Recorded


class Script(NamedTuple):
    """An episode as the arm carries it out."""

    recorded: Recorded
    start: np.ndarray  # (3,), the tool point, m
    joints: np.ndarray  # (n,), where it stands then
    commands: np.ndarray  # (steps, n), joint positions


class Replay:
    """The arm of a robot in its scene, with or without touch. Not thread-safe.

    Where in the room an episode began is not recorded: the arm starts over the middle of the
    task's place. A few centimetres change its joints by a few hundredths and its motion by less.
    """

    def __init__(self, config: RobotConfig, touch: bool):
        self._robot = robot = SimulatedRobot(config)
        self.task, self._touch = robot.scene.task, touch
        if not touch:
            robot.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONTACT
        self._tool = robot.data.body(PAYLOAD)
        self._timestep = robot.scene.timestep
        self._substeps = round(config.period_ns * 1e-9 / self._timestep)

    def script(self, episode: Recorded) -> Script:
        """Inverse kinematics, once for an episode."""
        robot, kinematics = self._robot, self._robot.kinematics
        start = kinematics.home_position.copy()
        start[2] = robot.scene.task.height + episode.beside[2]
        joints = start_joints(robot, start)
        arm, commands = joints[: len(kinematics.joints)], []
        rest = joints[len(arm) :]
        for target in episode.sent:
            arm = kinematics.solve(arm, start + target)
            commands.append(np.concatenate([arm, rest]))
        return Script(episode, start, joints, np.array(commands))

    def whole(self, latency: float) -> float:
        """The closest whole number of physics steps, s."""
        return round(latency / self._timestep) * self._timestep

    def path(
        self, script: Script, variant: Variant, steps: int, error: np.ndarray | None = None
    ) -> np.ndarray:
        """The tool (steps + 1, 3), m, relative to where it began.

        `error` (3,): by how much the place of the task's object was estimated wrong, m. Between two
        physics steps the latency is interpolated, so that the path changes smoothly with it.
        """
        late = variant.latency / self._timestep
        before = int(late + 1e-9)
        share = late - before
        first = self._run(script, variant, before, steps, error)
        if share < 1e-6:
            return first
        second = self._run(script, variant, before + 1, steps, error)
        return (1.0 - share) * first + share * second

    def _run(
        self, script: Script, variant: Variant, late: int, steps: int, error: np.ndarray | None
    ) -> np.ndarray:
        robot = self._robot
        quiet = {"latency": late * self._timestep, "joint_noise": 0.0, "dropped": 0.0}
        robot.set_variant(variant.model_copy(update=quiet))
        robot.begin_at(script.joints)
        if error is not None and self._touch:
            robot.task.goal[:] = script.start - script.recorded.beside - error
        path = [script.start]
        for command in script.commands[:steps]:
            robot.advance(command, self._substeps)
            mujoco.mj_kinematics(robot.model, robot.data)
            path.append(self._tool.xpos.copy())
        return np.array(path) - script.start
