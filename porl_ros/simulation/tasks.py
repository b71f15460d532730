"""What happens in a scene: where things are put at reset, and what the vision system says."""

from typing import TYPE_CHECKING

import mujoco
import numpy as np

from porl_ros.errors import ConfigError
from porl_ros.simulation.scene import InsertTask, LiftTask, PickPlaceTask
from porl_ros.simulation.variant import Variant

if TYPE_CHECKING:
    from porl_ros.simulation.robot import SimulatedRobot

# Solving from home to a start a few centimetres away needs more rounds than one control step.
START_IK_ROUNDS = 10


class Insertion:
    """Where the socket stands, where the tool starts, and the estimate with its error."""

    settle_time = 0.0  # s of physics at reset; here nothing moves by itself

    def __init__(self, config: InsertTask, robot: "SimulatedRobot"):
        self._config, self._robot = config, robot
        model = robot.model
        self._mocap = _mocap(model, config.socket_body, "socket_body")
        self._friction = _Friction(model, np.full(model.ngeom, True))
        self._estimate = np.zeros(3)

    def enter(self, variant: Variant) -> None:
        """From now on, be in this cell; called before a reset."""
        self._friction.set(variant.friction)

    @property
    def goal(self) -> np.ndarray:
        """True centre of the socket's top; for experts and videos, never for the policy."""
        return self._robot.data.mocap_pos[self._mocap]

    def reset(self, rng: np.random.Generator) -> np.ndarray:
        """Place the socket; returns the joints to start from."""
        config, variant = self._config, self._robot.variant
        home = self._robot.kinematics.home_position
        spread = config.socket_spread * variant.spread
        place = rng.uniform(-spread, spread, 2)
        socket = np.array([home[0] + place[0], home[1] + place[1], config.socket_height])
        self._robot.data.mocap_pos[self._mocap] = socket
        noise = rng.uniform(-1.0, 1.0, 3) * variant.estimate_noise
        self._estimate = socket + np.array(variant.estimate_offset) + noise
        start = np.array([home[0], home[1], config.socket_height + config.start_height])
        off = rng.uniform(-1.0, 1.0, 3) * (config.start_spread * variant.spread)
        return start_joints(self._robot, start + off)

    def estimates(self) -> dict[str, dict[str, np.ndarray]]:
        """The estimated pose of the socket: its constant error is the calibration's."""
        pose = {"position": self._estimate.copy(), "orientation": np.array([0.0, 0.0, 0.0, 1.0])}
        return {self._config.estimate_source: pose}


class Lift:
    """Where the cube lies, where the tool starts, and an estimate that follows the cube."""

    # s of physics at reset: the cube sinks into the table a little, the fingers' springs find rest.
    settle_time = 0.1

    def __init__(self, config: LiftTask, robot: "SimulatedRobot"):
        if not robot.config.action.gripper:
            raise ConfigError("action.gripper: lifting needs one; name the joint that closes it")
        self._config, self._robot = config, robot
        self._body = _body(robot.model, config.object_body)
        self._address = _free_joint(robot.model, self._body, config.object_body)
        # The fingers' pads keep theirs, which the grasp depends on.
        self._friction = _Friction(robot.model, robot.model.geom_bodyid == self._body)
        self._error = np.zeros(3)

    def enter(self, variant: Variant) -> None:
        """From now on, be in this cell; called before a reset."""
        self._friction.set(variant.friction)

    @property
    def goal(self) -> np.ndarray:
        """True centre of the cube; for experts and videos, never for the policy."""
        return self._robot.data.xpos[self._body]

    def reset(self, rng: np.random.Generator) -> np.ndarray:
        """Lay the cube down, turned by any angle about z; returns the joints to start from."""
        config, variant = self._config, self._robot.variant
        home = self._robot.kinematics.home_position
        place = home[:2] + self._somewhere(rng)
        half = rng.uniform(-np.pi, np.pi) / 2
        pose = [*place, config.object_height, np.cos(half), 0.0, 0.0, np.sin(half)]
        self._robot.data.qpos[self._address : self._address + 7] = pose
        noise = rng.uniform(-1.0, 1.0, 3) * variant.estimate_noise
        self._error = np.array(variant.estimate_offset) + noise
        start = np.array([home[0], home[1], config.object_height + config.start_height])
        off = rng.uniform(-1.0, 1.0, 3) * (config.start_spread * variant.spread)
        return start_joints(self._robot, start + off)

    def _somewhere(self, rng: np.random.Generator) -> np.ndarray:
        spread = self._config.object_spread * self._robot.variant.spread
        return rng.uniform(-spread, spread, 2)

    def estimates(self) -> dict[str, dict[str, np.ndarray]]:
        """The estimated pose of the cube: it moves with the cube, its error stays the episode's."""
        w, x, y, z = self._robot.data.xquat[self._body]
        pose = {"position": self.goal + self._error, "orientation": np.array([x, y, z, w])}
        return {self._config.estimate_source: pose}


class PickPlace(Lift):
    """The same, and where the mark lies that the cube is to be put on."""

    def __init__(self, config: PickPlaceTask, robot: "SimulatedRobot"):
        super().__init__(config, robot)
        _require_source(robot, "goal_source", config.goal_source)
        self._mark = _mocap(robot.model, config.goal_body, "goal_body")

    def enter(self, variant: Variant) -> None:
        """As in lifting; ConfigError when a cube in the middle leaves the mark no place."""
        reach = np.sqrt(2.0) * self._config.object_spread * variant.spread
        if reach <= self._config.goal_apart:
            raise ConfigError(
                f"spread = {variant.spread}: things lie up to {reach:.3f} m from the middle and "
                f"must be goal_apart = {self._config.goal_apart} m apart; spread them wider"
            )
        super().enter(variant)

    @property
    def destination(self) -> np.ndarray:
        """Where the centre of the cube is to come to rest."""
        return self._robot.data.mocap_pos[self._mark]

    def reset(self, rng: np.random.Generator) -> np.ndarray:
        """Lay the mark down where the cubes lie, too, but not under this one."""
        joints = super().reset(rng)
        config, home = self._config, self._robot.kinematics.home_position[:2]
        cube = self._robot.data.qpos[self._address : self._address + 2]
        while True:
            place = home + self._somewhere(rng)
            if np.hypot(*(place - cube)) >= config.goal_apart:
                break
        self._robot.data.mocap_pos[self._mark] = [*place, config.object_height]
        return joints

    def estimates(self) -> dict[str, dict[str, np.ndarray]]:
        """The cube's estimated pose, and the mark's place, which the robot is told exactly."""
        mark = {"position": self.destination.copy(), "orientation": np.array([0.0, 0.0, 0.0, 1.0])}
        return super().estimates() | {self._config.goal_source: mark}


class _Friction:
    """Sliding friction of some geoms, which a cell may set and which the scene's files say."""

    def __init__(self, model: mujoco.MjModel, geoms: np.ndarray):
        self._model, self._geoms = model, geoms
        self._nominal = model.geom_friction[geoms, 0].copy()

    def set(self, friction: float | None) -> None:
        self._model.geom_friction[self._geoms, 0] = friction or self._nominal


def start_joints(robot: "SimulatedRobot", position: np.ndarray) -> np.ndarray:
    """Command-order joints with the tool at `position`, an open gripper if there is one."""
    arm = robot.kinematics.home
    for _ in range(START_IK_ROUNDS):
        arm = robot.kinematics.solve(arm, position)
    gripper = robot.config.action.gripper
    return np.append(arm, gripper.lower) if gripper else arm


def _body(model: mujoco.MjModel, name: str) -> int:
    found = mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name)
    if found < 0:
        raise ConfigError(f"task: the scene has no body '{name}'")
    return found


def _mocap(model: mujoco.MjModel, body: str, key: str) -> int:
    """Where the pose of a body that is placed by hand stands in `mocap_pos`."""
    found = model.body_mocapid[_body(model, body)]
    if found < 0:
        raise ConfigError(f"task.{key} = '{body}': must be a mocap body")
    return found


def _free_joint(model: mujoco.MjModel, body: int, name: str) -> int:
    """Where the pose of a freely moving body begins in `qpos`."""
    joint = model.body_jntadr[body]
    if joint < 0 or model.jnt_type[joint] != mujoco.mjtJoint.mjJNT_FREE:
        raise ConfigError(f"task.object_body = '{name}': must have a free joint")
    return model.jnt_qposadr[joint]


def _require_source(robot: "SimulatedRobot", key: str, name: str) -> None:
    sources = [source.name for source in robot.config.observation.sources]
    if name not in sources:
        raise ConfigError(
            f"task.{key} = '{name}': the robot config has no such observation source; "
            f"has {', '.join(sources)}"
        )


TASKS = {"insert": Insertion, "lift": Lift, "pick_place": PickPlace}


def make_task(config: InsertTask | LiftTask, robot: "SimulatedRobot") -> Insertion | Lift:
    """The task of a scene; ConfigError when the scene or the robot config lacks a part of it."""
    _require_source(robot, "estimate_source", config.estimate_source)
    return TASKS[config.kind](config, robot)
