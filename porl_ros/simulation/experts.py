"""Scripted experts. They see what only the simulator knows, and exist to record demonstrations."""

import numpy as np

from porl_ros.errors import ConfigError
from porl_ros.simulation.env import RobotEnv

ALIGNED = 0.0015  # close enough to the axis to go down, m
ABOVE = 0.012  # height at which to align, m
DEEP = 0.04  # how far to push in, m

# Heights and distances of the tool from the cube's centre.
CENTRED = 0.004  # close enough to the cube's axis to go down, m
OVER = 0.06  # height at which open fingers pass over it, m
CAPTURED = 0.012  # off the axis by less, it is between the fingers, m
AROUND = 0.006  # low enough to close the fingers, m
GRASPED = 0.25  # fingers touch the cube at 0.30 rad (its diagonal) to 0.43 rad (its sides) ...
AT_REST = 0.3  # ... and hold it when they no longer move, rad/s
HIGH = 0.05  # aim this far above where the cube is, to lift at full speed, m

# Heights and distances of the cube from the mark that it is carried to.
CARRIED = 0.03  # height at which it is carried, m
OVER_MARK = 0.008  # close enough in x and y to be let down, m
ON_MARK = 0.02  # close enough to be let go, m
DOWN = 0.003  # low enough to be let go, m
OPEN = 0.1  # the fingers have let go of the cube, rad

REACH = 0.03  # inverse kinematics are asked for places this far away at most, m


def joint_steps(env: RobotEnv, place: np.ndarray) -> np.ndarray:
    """The action (n,) in joints that leads the target towards `place`: straight, so that a joint
    which would go too fast slows all others down."""
    decoder, kinematics = env.controller.decoder, env.controller.kinematics
    here, arm = decoder.tool_target, decoder.target[: len(kinematics.joints)]
    away = place - here
    near = here + away * min(1.0, REACH / max(np.linalg.norm(away), 1e-9))
    steps = (kinematics.solve(arm, near) - arm) / env.robot.config.action.scale
    return steps / max(1.0, np.abs(steps).max())


class InsertExpert:
    """Over the socket, align, then straight down."""

    def __init__(self, env: RobotEnv):
        self._env = env

    def __call__(self) -> np.ndarray:
        """The action float32 for the environment's present state: (3,), or one a joint."""
        env = self._env
        goal = env.robot.task.goal
        tool = env.controller.tool_position
        off_axis = np.hypot(*(tool - goal)[:2])
        inside = tool[2] < goal[2]
        height = -DEEP if inside or off_axis < ALIGNED else ABOVE
        wanted = np.array([goal[0], goal[1], goal[2] + height])
        if not env.robot.config.action.axes:
            return joint_steps(env, wanted).astype(np.float32)
        action = (wanted - tool) / env.robot.config.action.scale
        return np.clip(action, -1.0, 1.0).astype(np.float32)


class LiftExpert:
    """Over the cube with open fingers, down, close, and up."""

    def __init__(self, env: RobotEnv):
        self._env = env
        self._fingers = env.robot.data.joint(env.robot.config.action.gripper.joint)

    def __call__(self) -> np.ndarray:
        """The action (4,) float32 for the environment's present state."""
        cube = self._env.robot.task.goal
        away = self._env.controller.tool_position - cube
        off_axis = np.hypot(*away[:2])
        if off_axis < CAPTURED and away[2] < AROUND:
            return self._toward(self._carry(cube) if self._holding() else cube, close=True)
        height = 0.0 if off_axis < CENTRED else OVER
        return self._toward(cube + [0.0, 0.0, height], close=False)

    def _carry(self, cube: np.ndarray) -> np.ndarray:
        """Where the tool goes with the cube."""
        return cube + [0.0, 0.0, HIGH]

    def _toward(self, place: np.ndarray, close: bool) -> np.ndarray:
        # Steers the target, not the tool, which lags behind it: that would overshoot.
        error = place - self._env.controller.decoder.target[:3]
        arm = error / self._env.robot.config.action.scale
        return np.clip([*arm, 1.0 if close else -1.0], -1.0, 1.0).astype(np.float32)

    def _holding(self) -> bool:
        return bool(self._fingers.qpos[0] > GRASPED and abs(self._fingers.qvel[0]) < AT_REST)


class PickPlaceExpert(LiftExpert):
    """The same, then over the mark, down, let go, and away."""

    def __call__(self) -> np.ndarray:
        """The action (4,) float32 for the environment's present state."""
        cube = self._env.robot.task.goal
        x, y, above = cube - self._env.robot.task.destination
        if np.hypot(x, y) > ON_MARK or above > DOWN:
            return super().__call__()
        away = OVER if self._fingers.qpos[0] < OPEN else 0.0
        tool = self._env.controller.tool_position
        return self._toward(tool + [0.0, 0.0, away], close=False)

    def _carry(self, cube: np.ndarray) -> np.ndarray:
        x, y, above = cube - self._env.robot.task.destination
        over = np.hypot(x, y) < OVER_MARK
        if not over and above < CARRIED / 2:
            return super()._carry(cube)
        # The cube may have slipped in the fingers: it is the cube that goes to the mark.
        tool = self._env.controller.tool_position - [x, y, above]
        return tool + [0.0, 0.0, 0.0 if over else CARRIED]


EXPERTS = {"insert": InsertExpert, "lift": LiftExpert, "pick_place": PickPlaceExpert}
# Which kinds of action they know.
KINDS = {"insert": ("cartesian_position_delta", "joint_position_delta")}
OTHERS = ("cartesian_position_delta",)


def make_expert(env: RobotEnv) -> InsertExpert | LiftExpert:
    """The expert for the environment's task; ConfigError when it does not know the robot's kind of
    action."""
    task, kind = env.robot.scene.task.kind, env.robot.config.action.kind
    if kind not in (known := KINDS.get(task, OTHERS)):
        raise ConfigError(
            f"action.kind = '{kind}': the scripted expert of '{task}' acts by "
            f"{' or '.join(known)}; take one of these, or record demonstrations of a person"
        )
    return EXPERTS[task](env)
