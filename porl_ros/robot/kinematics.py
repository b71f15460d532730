"""Forward and inverse kinematics of the arm, on its MuJoCo model. Inverse kinematics by `mink`."""

import mink
import mujoco
import numpy as np

from porl_ros.errors import ConfigError
from porl_ros.paths import resolve_model
from porl_ros.robot.config import Kinematics

# Three Newton-like steps leave an error under 1e-6 m for targets a few centimetres away.
IK_STEPS = 3
IK_DAMPING = 1e-4


class ArmKinematics:
    """The tool of one arm. Frames: the base of the arm; metres and radians.

    Not thread-safe: each thread (and each simulated robot) has its own.
    """

    def __init__(self, config: Kinematics):
        """Compile the model; ConfigError when the joints or the tool site are not in it."""
        model = _compile(config.model)
        self.joints = config.joints
        _require(
            config.joints, _names(model, mujoco.mjtObj.mjOBJ_JOINT, model.njnt), "joint", config
        )
        _require(
            [config.tool_site], _names(model, mujoco.mjtObj.mjOBJ_SITE, model.nsite), "site", config
        )
        self._address = np.array([model.joint(joint).qposadr[0] for joint in config.joints])
        self._configuration = mink.Configuration(model)
        self._rest = model.qpos0.copy()  # of joints that are not the arm's
        self._site = config.tool_site
        self._offset = mink.SE3.from_translation(np.asarray(config.tool_offset))
        self._offset_inverse = self._offset.inverse()
        self._task = mink.FrameTask(self._site, "site", 1.0, 1.0, lm_damping=IK_DAMPING)
        self._limits = [mink.ConfigurationLimit(model)]
        self.home = np.array(config.home)
        self.home_position = self.tool_position(self.home)
        self._rotation = self._tool().rotation()

    def tool_position(self, joints: np.ndarray) -> np.ndarray:
        """Position of the tool point, shape (3,), for arm joints in the config's order."""
        self._set(joints)
        return self._tool().translation()

    def solve(self, start: np.ndarray, position: np.ndarray) -> np.ndarray:
        """Arm joints that bring the tool to `position`, oriented as at home, from `start`.

        NaN where the solver finds none: the safety filter then holds the robot.
        """
        self._set(start)
        tool = mink.SE3.from_rotation_and_translation(self._rotation, position)
        self._task.set_target(tool @ self._offset_inverse)
        try:
            for _ in range(IK_STEPS):
                step = mink.solve_ik(
                    self._configuration, [self._task], 1.0, "daqp", IK_DAMPING, limits=self._limits
                )
                self._configuration.integrate_inplace(step, 1.0)
        except mink.MinkError:
            return np.full(len(self._address), np.nan)
        return self._configuration.q[self._address].copy()

    def _set(self, joints: np.ndarray) -> None:
        q = self._rest.copy()
        q[self._address] = joints
        self._configuration.update(q)

    def _tool(self) -> mink.SE3:
        return self._configuration.get_transform_frame_to_world(self._site, "site") @ self._offset


def _compile(reference: str) -> mujoco.MjModel:
    path = resolve_model(reference)
    try:
        return mujoco.MjModel.from_xml_path(str(path))
    except ValueError as error:
        raise ConfigError(
            f"kinematics.model = '{reference}': MuJoCo cannot compile it: {error}"
        ) from None


def _names(model: mujoco.MjModel, kind: mujoco.mjtObj, count: int) -> list[str]:
    return [mujoco.mj_id2name(model, kind, i) for i in range(count)]


def _require(names, available: list[str], what: str, config: Kinematics) -> None:
    key = {"joint": "joints", "site": "tool_site"}[what]
    for name in names:
        if name not in available:
            raise ConfigError(
                f"kinematics.{key} = '{name}': model '{config.model}' has no such {what}; "
                f"it has {', '.join(filter(None, available))}"
            )
