"""A robot in MuJoCo that takes joint commands and gives samples, as the real one would."""

import mujoco
import numpy as np

from porl_ros.errors import ConfigError
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics
from porl_ros.robot.observation import Sample, Samples
from porl_ros.simulation.scene import SceneConfig, build_model
from porl_ros.simulation.tasks import make_task


class SimulatedRobot:
    """One robot in one variant of its scene. Same seed and commands, same episode, bit for bit.

    Time goes on across resets, as on a robot. Not thread-safe.
    """

    def __init__(self, config: RobotConfig, variant: str | None = None):
        """ConfigError when config and scene do not fit together."""
        scene = SceneConfig.load(config.simulation.scene)
        self.config, self.scene = config, scene
        self.variant = scene.variant(variant or config.simulation.variant)
        self.model = build_model(config, scene)
        self.data = mujoco.MjData(self.model)
        self.kinematics = ArmKinematics(config.kinematics)
        self._drives = [_Drive(self.model, joint) for joint in config.command_joints]
        self._substeps = _substeps(config, scene)
        self._latency = round(self.variant.latency / scene.timestep)
        self._sources = [
            _JointReader(self.model, s) for s in config.observation.sources if hasattr(s, "joints")
        ]
        self.task = make_task(scene.task, self)
        self._rng = np.random.default_rng(0)
        self._command = np.zeros(len(self._drives))
        self.time_ns = 0

    @property
    def command(self) -> np.ndarray:
        """The command in force; shape (n,)."""
        return self._command.copy()

    def reset(self, seed: int) -> Samples:
        """Begin the episode of this seed; returns the first samples."""
        self._rng = np.random.default_rng(seed)
        mujoco.mj_resetData(self.model, self.data)
        joints = self.task.reset(self._rng)
        for drive, position in zip(self._drives, joints, strict=True):
            drive.place(self.data, position)
        self._command = joints.copy()
        mujoco.mj_forward(self.model, self.data)
        mujoco.mj_step(self.model, self.data, round(self.task.settle_time / self.scene.timestep))
        self.time_ns += self.config.period_ns
        return self.samples()

    def step(self, command: np.ndarray) -> Samples:
        """Carry out a command for one control period; shape (n,), joint positions."""
        self.advance(command, self._substeps)
        return self.samples()

    def advance(self, command: np.ndarray, substeps: int) -> None:
        """Run `substeps` of physics; a new command takes effect after the cell's latency."""
        if command.shape != self._command.shape:
            raise ValueError(f"command: shape {command.shape}, must be {self._command.shape}")
        waiting = min(self._latency, substeps) if not np.array_equal(command, self._command) else 0
        if waiting:
            mujoco.mj_step(self.model, self.data, waiting)
        for drive, position in zip(self._drives, command, strict=True):
            drive.command(self.data, position)
        self._command = command.copy()
        if substeps > waiting:
            mujoco.mj_step(self.model, self.data, substeps - waiting)
        self.time_ns += round(substeps * self.scene.timestep * 1e9)

    def samples(self) -> Samples:
        """What the sensors say now, each source stamped with the present time."""
        # mj_step leaves positions of bodies as they were before its last step.
        mujoco.mj_kinematics(self.model, self.data)
        found = {
            r.name: r.read(self.data, self._rng, self.variant.joint_noise) for r in self._sources
        }
        found |= self.task.estimates()
        return {name: Sample(self.time_ns, values) for name, values in found.items()}


class _Drive:
    """A joint and the actuator that moves it, in the units of the joint."""

    def __init__(self, model: mujoco.MjModel, joint: str):
        self._joint = joint_id = model.joint(joint).id
        self._address = model.jnt_qposadr[joint_id]
        self._actuator = self._find(model, joint, joint_id)
        # Some actuators scale their input (the 2F-85 takes 0..255): ctrl = gain * position.
        self._gain = (
            -model.actuator_biasprm[self._actuator, 1] / model.actuator_gainprm[self._actuator, 0]
        )

    @staticmethod
    def _find(model: mujoco.MjModel, joint: str, joint_id: int) -> int:
        for actuator in range(model.nu):
            target = model.actuator_trnid[actuator, 0]
            if model.actuator_trntype[actuator] == mujoco.mjtTrn.mjTRN_JOINT and target == joint_id:
                return actuator
            if model.actuator_trntype[actuator] == mujoco.mjtTrn.mjTRN_TENDON:
                first, count = model.tendon_adr[target], model.tendon_num[target]
                if joint_id in model.wrap_objid[first : first + count]:
                    return actuator
        raise ConfigError(f"joint '{joint}': the scene has no actuator that moves it")

    def place(self, data: mujoco.MjData, position: float) -> None:
        data.qpos[self._address] = position
        self.command(data, position)

    def command(self, data: mujoco.MjData, position: float) -> None:
        data.ctrl[self._actuator] = self._gain * position


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
