"""A robot in MuJoCo that takes joint commands and gives samples, as the real one would."""

from collections import deque
from collections.abc import Callable

import mujoco
import numpy as np

from porl_ros.errors import ConfigError
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics
from porl_ros.robot.observation import Sample, Samples
from porl_ros.simulation.composing import build_model
from porl_ros.simulation.dynamics import Drive, Dynamics
from porl_ros.simulation.scene import SceneConfig
from porl_ros.simulation.tasks import make_task
from porl_ros.simulation.variant import Variant


class SimulatedRobot:
    """One robot in one variant of its scene. Same seed and commands, same episode, bit for bit.

    Time goes on across resets, as on a robot. Not thread-safe.
    """

    def __init__(self, config: RobotConfig, variant: str | Variant | None = None):
        """`variant`: a cell, its name or its file; ConfigError when it, config and scene do not
        fit together."""
        scene = SceneConfig.load(config.simulation.scene)
        self.config, self.scene = config, scene
        if not isinstance(variant, Variant):
            variant = scene.variant(variant or config.simulation.variant)
        self.variant = self._next = variant
        self.model = build_model(config, scene)
        self.data = mujoco.MjData(self.model)
        self.kinematics = ArmKinematics(config.kinematics)
        self._drives = [Drive(self.model, joint) for joint in config.command_joints]
        self._dynamics = Dynamics(self.model, self._drives)
        self._substeps = _substeps(config, scene)
        self._sources = [
            _JointReader(self.model, s) for s in config.observation.sources if hasattr(s, "joints")
        ]
        self.task = make_task(scene.task, self)
        self._rng = np.random.default_rng(0)
        self._command = np.zeros(len(self._drives))
        self._underway: deque[tuple[int, np.ndarray]] = deque()  # (physics step, command)
        self._now = 0  # physics steps since the reset
        self._last: dict[str, Sample] = {}
        self.time_ns = 0
        self.after_physics: Callable[[], None] | None = None  # called after every physics step
        self._enter(variant)

    @property
    def command(self) -> np.ndarray:
        """The last command, whether it has its effect already or not; shape (n,)."""
        return self._command.copy()

    def set_variant(self, variant: Variant) -> None:
        """The next reset is in this cell. ConfigError when it does not fit the scene."""
        self._next = variant

    def _enter(self, variant: Variant) -> None:
        self.task.enter(variant)
        self._dynamics.set(variant, self.data)
        self._latency = round(variant.latency / self.scene.timestep)
        self.variant = variant

    def reset(self, seed: int) -> Samples:
        """Begin the episode of this seed; returns the first samples."""
        self._clear()
        self._rng = np.random.default_rng(seed)
        self._stand(self.task.reset(self._rng))
        mujoco.mj_step(self.model, self.data, round(self.task.settle_time / self.scene.timestep))
        self.time_ns += self.config.period_ns
        return self.samples()

    def begin_at(self, joints: np.ndarray) -> None:
        """Begin with the commanded joints (n,) here, all else where the scene's files put it."""
        self._clear()
        self._stand(joints)

    def _clear(self) -> None:
        if self._next is not self.variant:
            self._enter(self._next)
        mujoco.mj_resetData(self.model, self.data)
        self._underway.clear()
        self._last, self._now = {}, 0

    def _stand(self, joints: np.ndarray) -> None:
        for drive, position in zip(self._drives, joints, strict=True):
            drive.place(self.data, position)
        self._command = joints.copy()
        mujoco.mj_forward(self.model, self.data)

    def step(self, command: np.ndarray) -> Samples:
        """Carry out a command for one control period; shape (n,), joint positions."""
        self.advance(command, self._substeps)
        return self.samples()

    def advance(self, command: np.ndarray, substeps: int) -> None:
        """Run `substeps` of physics; a new command takes effect after the cell's latency."""
        if command.shape != self._command.shape:
            raise ValueError(f"command: shape {command.shape}, must be {self._command.shape}")
        if not np.array_equal(command, self._command):
            self._underway.append((self._now + self._latency, command.copy()))
            self._command = command.copy()
        end = self._now + substeps
        while self._underway and self._underway[0][0] < end:
            due, arrived = self._underway.popleft()
            self._run_until(due)
            for drive, position in zip(self._drives, arrived, strict=True):
                drive.command(self.data, position)
        self._run_until(end)
        self.time_ns += round(substeps * self.scene.timestep * 1e9)

    def _run_until(self, step: int) -> None:
        while self._now < step:
            steps = 1 if self.after_physics else step - self._now
            mujoco.mj_step(self.model, self.data, steps)
            self._now += steps
            if self.after_physics:
                self.after_physics()

    def samples(self) -> Samples:
        """What the sensors say now, each source stamped with the present time, or with that of its
        last sample where the cell has lost this one."""
        # mj_step leaves positions of bodies as they were before its last step.
        mujoco.mj_kinematics(self.model, self.data)
        found = {
            r.name: r.read(self.data, self._rng, self.variant.joint_noise) for r in self._sources
        }
        found |= self.task.estimates()
        samples = {name: Sample(self.time_ns, values) for name, values in found.items()}
        if self.variant.dropped:
            kept = {
                n: s for n, s in self._last.items() if self._rng.random() < self.variant.dropped
            }
            samples |= kept
            self._last = samples
        return samples


class _JointReader:
    """Reads the joints of one source, with the noise of the cell."""

    def __init__(self, model: mujoco.MjModel, source):
        self.name = source.name
        names = {model.joint(i).name for i in range(model.njnt)}
        for joint in source.joints:
            if joint not in names:
                have = ", ".join(sorted(filter(None, names)))
                raise ConfigError(
                    f"source '{self.name}': the scene has no joint '{joint}'; has {have}"
                )
        self._position = [model.joint(joint).qposadr[0] for joint in source.joints]
        self._velocity = [model.joint(joint).dofadr[0] for joint in source.joints]

    def read(
        self, data: mujoco.MjData, rng: np.random.Generator, noise: float
    ) -> dict[str, np.ndarray]:
        position = data.qpos[self._position]
        if noise:
            position = position + rng.normal(0.0, noise, len(position))
        return {"position": position, "velocity": data.qvel[self._velocity]}


def _substeps(config: RobotConfig, scene: SceneConfig) -> int:
    exact = 1.0 / config.control_rate / scene.timestep
    if abs(exact - round(exact)) > 1e-6 or exact < 1:
        raise ConfigError(
            f"control_rate = {config.control_rate}: a control step must be a whole number of "
            f"physics steps of {scene.timestep} s, is {exact:.3f}"
        )
    return round(exact)
