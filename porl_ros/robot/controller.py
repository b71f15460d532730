"""One control step, the same in the policy node, the Gymnasium environment and the gate.

    begin(samples) -> observation
    act(action)    -> command that goes to the robot
    observe(samples) -> next observation, reward, end of the episode

Pure: no clock, no I/O, no thread. What differs between the places is who brings the samples.
"""

from typing import NamedTuple

import numpy as np

from porl_ros.errors import PorlError
from porl_ros.robot.action import make_decoder
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics
from porl_ros.robot.observation import ObservationAssembler, Samples, action_names
from porl_ros.robot.reward import success_function
from porl_ros.robot.safety import Filtered, Limit, Motion, SafetyFilter, numbers

# What a person may ask of one step, and of a joint: far beyond every limit, and fit to reckon with.
FARTHEST, FAR = 1.0, 1e3  # m or rad


class Act(NamedTuple):
    """What leaves for the robot, and what is remembered of it."""

    command: np.ndarray  # (n,) joint positions, in the order of `config.command_joints`
    executed: np.ndarray  # (m,) float32, the action that was really carried out
    requested: np.ndarray  # (m,) float32, what was asked for; zeros if that was no action
    interventions: tuple[Limit, ...]  # limits of the safety filter that changed the command
    asked: np.ndarray  # (n,) joint positions before the filter; what it changed is the difference
    unexplained: float  # by how much no action could have led here, in actions; see `Executed`


class Outcome(NamedTuple):
    """What an action led to."""

    observation: np.ndarray  # (k,) float32
    reward: float
    terminated: bool  # the task is over: no value lies beyond
    truncated: bool  # only the time is over: the value goes on


class Controller:
    """Holds the state of the episode that runs. Called by one thread, the control thread."""

    def __init__(self, config: RobotConfig):
        """ConfigError when the contract does not fit the arm model or itself."""
        self.config = config
        self.kinematics = ArmKinematics(config.kinematics)
        self.assembler = ObservationAssembler(config)
        self.decoder = make_decoder(config, self.kinematics)
        self._filter = SafetyFilter(config, self.kinematics)
        self._succeeded = success_function(config)
        self._joint_index = _joint_index(config)
        self.steps = 0
        self._values: dict[str, np.ndarray] = {}
        self._begin: dict[str, np.ndarray] = {}
        self._measured = np.zeros(len(config.command_joints))  # the last that was finite
        self._blind = False  # the present reading is not
        self._motion = Motion.standing(self._measured)
        self._last_action = np.zeros(self.decoder.size, np.float32)
        self._acceleration_scale = 1.0  # as wanted

    def scale(self, velocity: float, acceleration: float) -> None:
        """Use these shares of the contract's limits, over 0 and at most 1: of the velocity from
        the next command on, of the acceleration from when the robot stands."""
        self._filter.scale_velocity(velocity)
        self._acceleration_scale = acceleration
        if self.standing:
            self._filter.scale_acceleration(acceleration)

    @property
    def observation_names(self) -> tuple[str, ...]:
        return self.assembler.names

    @property
    def action_names(self) -> tuple[str, ...]:
        return action_names(self.config)

    @property
    def tool_position(self) -> np.ndarray:
        """Position (3,) of the tool in the base frame at the last samples, m."""
        return self._values["tool.position"]

    def joints(self, samples: Samples) -> np.ndarray:
        """Where the joints of a command are (n,), as these samples say."""
        found = [(*key.split("."), i) for key, i in self._joint_index]
        return np.array([samples[source].values[field][i] for source, field, i in found])

    def begin(self, samples: Samples, in_place: bool = False) -> np.ndarray:
        """Start an episode where the robot is; returns its first observation.

        The robot must stand still (see `hold`, `standing`). What was sent before is forgotten,
        unless nobody has moved the robot since (`in_place`): then what is sent goes on from there.
        PorlError when a joint's position is not finite.
        """
        self.steps = 0
        self.assembler.reset()
        self._last_action = np.zeros(self.decoder.size, np.float32)
        self._measure(samples)
        if self._blind:
            raise PorlError("an episode cannot begin: a joint is not measured at a finite position")
        self._motion = Motion.standing(self._motion.position if in_place else self._measured)
        self._filter.scale_acceleration(self._acceleration_scale)
        self.decoder.reset(self._measured)
        observation = self._assemble()
        self._begin = dict(self._values)
        return observation

    def act(self, action: np.ndarray) -> Act:
        """Decode and limit an action of shape (m,); values outside [-1, 1] are clipped.

        What is no action (not finite, of another size, no numbers) is answered by holding, and so
        is every action while a joint is not measured at a finite position.
        """
        requested = numbers(action, self.decoder.size, np.float32)
        if requested is None or self._blind:
            filtered = self._filter.ramp_down(self._motion)
            return self._carry_out(filtered._replace(interventions=(Limit.INVALID,)))
        command = self.decoder.decode(_boxed(requested), self._measured, self._motion.position)
        filtered = self._filter.filter(command, self._motion, self._measured)
        return self._carry_out(filtered, requested, changed=bool(filtered.interventions))

    def steer(self, joints: np.ndarray, twist: np.ndarray | None = None) -> Act:
        """A step that a person or a script asks for, limited as an action's is.

        `joints` (n,): positions; those that are NaN stay where they were sent last, or follow
        `twist` (6,), the velocity of the tool in the base frame, m/s and rad/s. `requested` and
        `executed` are the actions closest to what was asked for and to what was sent, as they
        would be of a recording. A twist that is no six finite numbers is answered by holding.
        """
        filtered = self._filter.filter(self._wanted(joints, twist), self._motion, self._measured)
        if self._blind:
            filtered = self._filter.ramp_down(self._motion)._replace(interventions=(Limit.INVALID,))
        nothing = np.zeros(self.decoder.size, np.float32)
        requested = self.decoder.explain(nothing, filtered.asked, self._measured).action
        return self._carry_out(filtered, requested)

    def _wanted(self, joints: np.ndarray, twist: np.ndarray | None) -> np.ndarray:
        last = wanted = self._motion.position
        if twist is not None:
            if (velocity := numbers(twist, 6)) is None:
                return np.full(len(last), np.nan)
            a_step = np.clip(velocity / self.config.control_rate, -FARTHEST, FARTHEST)
            if a_step.any():
                wanted = self.decoder.steer(*np.split(a_step, 2), self._measured, last)
        return np.where(np.isnan(joints), wanted, np.clip(joints, -FAR, FAR))

    def hold(self) -> Act:
        """A step without an action: brake within the limits, then repeat the last command."""
        return self._carry_out(self._filter.ramp_down(self._motion))

    def follow(self, command: np.ndarray) -> Act:
        """A step that somebody else commanded, a person or a recording: joint positions (n,), which
        nothing here limits. `executed` is the action that explains it best."""
        moved = self._motion.moved(command - self._motion.position)
        return self._carry_out(Filtered(command, moved, ()))

    @property
    def sent(self) -> np.ndarray:
        """The last command (n,), joint positions."""
        return self._motion.position.copy()

    @property
    def standing(self) -> bool:
        """The last command repeated the one before: the robot is told to stand still."""
        return not self._motion.step.any()

    def _carry_out(
        self, filtered: Filtered, requested: np.ndarray | None = None, changed: bool = True
    ) -> Act:
        """Remember what is sent; `changed` unless it is what the requested action leads to."""
        if requested is None:
            requested = np.zeros(self.decoder.size, np.float32)
        sent, measured = filtered.command, self._measured
        executed = self.decoder.settle(_boxed(requested), sent, measured, changed)
        self._motion, self._last_action = filtered.motion, executed.action
        limits, asked = filtered.interventions, filtered.asked
        return Act(sent, executed.action, requested, limits, asked, executed.unexplained)

    def observe(self, samples: Samples) -> Outcome:
        """What the last action led to; counts one step of the episode."""
        self.steps += 1
        self._measure(samples)
        observation = self._assemble()
        success = self._succeeded(self._values, self._begin)
        return Outcome(observation, float(success), success, self.out_of_time and not success)

    @property
    def out_of_time(self) -> bool:
        """The episode has had all the steps of its horizon."""
        return self.steps >= self.config.episode.horizon

    def _measure(self, samples: Samples) -> None:
        self._values = {
            f"{source}.{field}": value
            for source, sample in samples.items()
            for field, value in sample.values.items()
        }
        joints = np.array([self._values[key][i] for key, i in self._joint_index])
        self._blind = not np.isfinite(joints).all()
        if not self._blind:
            self._measured = joints
        arm = joints[: len(self.kinematics.joints)]
        self._values["tool.position"] = self.kinematics.tool_position(arm)

    def _assemble(self) -> np.ndarray:
        self._values["target.position"] = self.decoder.tool_target
        self._values["last_action"] = self._last_action.astype(np.float64)
        return self.assembler.assemble(self._values)


def _joint_index(config: RobotConfig) -> list[tuple[str, int]]:
    """Where each commanded joint is measured: (signal, element)."""
    found = {}
    for source in config.observation.sources:
        if source.type == "sensor_msgs/msg/JointState":
            for i, joint in enumerate(source.joints):
                found.setdefault(joint, (f"{source.name}.position", i))
    return [found[joint] for joint in config.command_joints]


def _boxed(action: np.ndarray) -> np.ndarray:
    return np.clip(action, -1.0, 1.0)
