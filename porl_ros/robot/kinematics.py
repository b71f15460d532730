"""Forward and inverse kinematics of the arm, on its MuJoCo model. Inverse kinematics by `mink`."""

import mink
import mujoco
import numpy as np

from porl_ros.errors import ConfigError
from porl_ros.robot.arm_model import arm_spec
from porl_ros.robot.config import Kinematics

# Three Newton-like steps leave an error under 1e-6 m for targets a few centimetres away.
IK_STEPS = 3
IK_CONVERGED = 1e-6  # rad (m): the next step would be far below this
IK_DAMPING = 1e-4
IK_LIMIT_SHARE = 0.95  # of the way to a joint's limit that one step may go


class ArmKinematics:
    """The tool of one arm. Frames: the base of the arm; metres and radians.

    `home` (n,) and `home_position` (3,) are where the arm begins; `reach` (n,) is the most that
    the tool can move per radian of each joint, wherever the others stand, m.

    Not thread-safe: each thread (and each simulated robot) has its own.
    """

    def __init__(self, config: Kinematics):
        """Compile the model; ConfigError when the joints or the tool site are not in it."""
        self._model = model = _compile(config)
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
        self._data = mujoco.MjData(model)
        self._pose = self._data.site(config.tool_site)  # a view: follows the data
        self._tool_offset = np.asarray(config.tool_offset)
        self._offset_inverse = mink.SE3.from_translation(-self._tool_offset)
        self._task = mink.FrameTask(self._site, "site", 1.0, 1.0, lm_damping=IK_DAMPING)
        self._limits = [mink.ConfigurationLimit(model, gain=IK_LIMIT_SHARE)]
        limited = np.flatnonzero(model.jnt_limited)
        self._limited_q, self._limited_v = model.jnt_qposadr[limited], model.jnt_dofadr[limited]
        self._lower, self._upper = model.jnt_range[limited].T
        self.home = np.array(config.home)
        self.home_position = self.tool_position(self.home)
        self._rotation = self.tool_rotation(self.home)
        self.reach = _reach(model, config)

    def tool_position(self, joints: np.ndarray) -> np.ndarray:
        """Position of the tool point, shape (3,), for arm joints in the config's order."""
        self._data.qpos[self._address] = joints
        mujoco.mj_kinematics(self._model, self._data)
        return self._pose.xpos + self._pose.xmat.reshape(3, 3) @ self._tool_offset

    def tool_rotation(self, joints: np.ndarray) -> mink.SO3:
        """Orientation of the tool, for arm joints in the config's order."""
        self.tool_position(joints)
        return mink.SO3.from_matrix(self._pose.xmat.reshape(3, 3))

    def solve(
        self, start: np.ndarray, position: np.ndarray, rotation: mink.SO3 | None = None
    ) -> np.ndarray:
        """Arm joints that bring the tool to `position`, from `start`.

        Without a `rotation` it is oriented as at home. NaN where the solver finds none: the safety
        filter then holds the robot.
        """
        self._set(start)
        rotation = self._rotation if rotation is None else rotation
        tool = mink.SE3.from_rotation_and_translation(rotation, position)
        self._task.set_target(tool @ self._offset_inverse)
        try:
            for _ in range(IK_STEPS):
                step = self._ik_step()
                self._configuration.integrate_inplace(step, 1.0)
                if np.abs(step).max() < IK_CONVERGED:
                    break
        except (mink.MinkError, np.linalg.LinAlgError):
            return np.full(len(self._address), np.nan)
        return self._configuration.q[self._address].copy()

    def _ik_step(self) -> np.ndarray:
        """The step (nv,) of damped least squares. A quadratic program is a third of a control step
        at 500 Hz, so it is solved only where a joint's limit would be crossed."""
        hessian, gradient = self._task.compute_qp_objective(self._configuration)
        hessian.flat[:: len(gradient) + 1] += IK_DAMPING
        step = -np.linalg.solve(hessian, gradient)
        q, wanted = self._configuration.q[self._limited_q], step[self._limited_v] / IK_LIMIT_SHARE
        if ((wanted >= self._lower - q) & (wanted <= self._upper - q)).all():
            return step
        return mink.solve_ik(
            self._configuration, [self._task], 1.0, "daqp", IK_DAMPING, limits=self._limits
        )

    def _set(self, joints: np.ndarray) -> None:
        q = self._rest.copy()
        q[self._address] = joints
        self._configuration.update(q)


def _reach(model: mujoco.MjModel, config: Kinematics) -> np.ndarray:
    """Upper bounds of the distance between each joint's axis and the tool: the lengths between."""
    body, length, reach = model.site(config.tool_site).bodyid[0], {}, []
    beyond = np.linalg.norm(model.site(config.tool_site).pos) + np.linalg.norm(config.tool_offset)
    while body > 0:
        first = model.body_jntadr[body]
        joints = range(first, first + model.body_jntnum[body])
        for joint in joints:
            length[joint] = beyond + np.linalg.norm(model.jnt_pos[joint])
        slides = [j for j in joints if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_SLIDE]
        if slides:
            length |= dict.fromkeys(slides, 1.0)
            limited = all(model.jnt_limited[slides])
            beyond += np.abs(model.jnt_range[slides]).max(1).sum() if limited else np.inf
        beyond += np.linalg.norm(model.body_pos[body])
        body = model.body_parentid[body]
    for name in config.joints:
        reach.append(length.get(model.joint(name).id, 0.0))
    return np.array(reach)


def _compile(config: Kinematics) -> mujoco.MjModel:
    try:
        return arm_spec(config).compile()
    except ValueError as error:
        raise ConfigError(
            f"kinematics.model = '{config.model}': MuJoCo cannot compile it: {error}"
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
