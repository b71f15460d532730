"""The contract between a robot and its policies, read from one YAML file.

`robot_configs/ur5e_insert.yaml` is commented so that it is the manual of these models.
"""

from functools import cached_property
from pathlib import Path
from typing import Self

from pydantic import Field, FiniteFloat, PositiveFloat, model_validator

from porl_ros.configfile import StrictModel, load_model
from porl_ros.paths import resolve_robot_config
from porl_ros.robot.config_action import Action
from porl_ros.robot.config_episode import Episode, Inserted, Lifted, Placed
from porl_ros.robot.config_gate import Gate
from porl_ros.robot.config_observation import Feature, JointStateSource, Observation, Source
from porl_ros.robot.config_reset import Reset
from porl_ros.robot.config_reward import FunctionReward, Reward
from porl_ros.robot.config_safety import Safety
from porl_ros.robot.config_types import Name, Vector3, require_unique
from porl_ros.robot.contract import contract_hash

__all__ = [
    "Feature",
    "Inserted",
    "Kinematics",
    "Lifted",
    "Name",
    "Placed",
    "RobotConfig",
    "Source",
    "Vector3",
]


NO_CONTRACT = dict.fromkeys(("name", "physical", "reward", "reset", "gate", "simulation"), True)
NO_CONTRACT |= {"kinematics": {"prefix"}}  # what matters of it is in the names of the joints


class Kinematics(StrictModel):
    """The arm as a MuJoCo model: forward and inverse kinematics of the tool point."""

    model: str = Field(
        description="MJCF or URDF: `package:path/inside/it.xml`, or a path relative to `sim/`"
    )
    prefix: str = Field(
        "", description="before every name of the model, where the robot's driver has one"
    )
    joints: tuple[str, ...] = Field(
        min_length=1, description="the arm's, in the order in which commands carry them"
    )
    home: tuple[FiniteFloat, ...] = Field(description="position of each joint [rad]")
    tool_site: str = Field(description="site of the model, or a body, whose frame is meant then")
    tool_offset: Vector3 = Field((0.0, 0.0, 0.0), description="the tool point in that frame [m]")

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_unique(self.joints, "joints")
        if len(self.home) != len(self.joints):
            raise ValueError(
                f"home needs {len(self.joints)} values, one a joint; has {len(self.home)}"
            )
        return self


class Simulation(StrictModel):
    """The MuJoCo scene that stands in for this robot, and which of its cells by default."""

    scene: str = Field(description="file in `sim/`")
    variant: str = Field(
        min_length=1,
        description="one of its cells by name, or a file as `porl calibrate` writes it",
    )


class RobotConfig(StrictModel):
    """Everything that must be equal for a policy, a store and a robot to fit together.

    `reward` says who judges on this robot, `reset` how it comes to the begin of an episode, `gate`
    what a policy must have shown before a physical robot runs it.
    """

    name: Name = Field(description="a label for people")
    physical: bool = Field(
        False, description="commands reach a real robot; then no limit may be absent"
    )
    control_rate: PositiveFloat = Field(
        description="control steps a second; an action is held for one [Hz]"
    )
    kinematics: Kinematics
    observation: Observation
    action: Action
    safety: Safety
    episode: Episode
    reward: Reward = FunctionReward()
    reset: Reset = Reset()
    gate: Gate = Gate()
    simulation: Simulation

    @classmethod
    def load(cls, name: str | Path) -> "RobotConfig":
        """Read a file, or a shipped configuration by name; ConfigError says what is wrong."""
        return load_model(cls, resolve_robot_config(name))

    @model_validator(mode="after")
    def _check(self) -> Self:
        require_unique(
            self.command_joints, "commanded joints (kinematics.joints, action.gripper.joint)"
        )
        limited, commanded = set(self.safety.joints), set(self.command_joints)
        for joint in sorted(commanded - limited):
            raise ValueError(f"safety.joints: no limits for commanded joint '{joint}'; add them")
        for joint in sorted(limited - commanded):
            raise ValueError(
                f"safety.joints.{joint}: not a commanded joint; "
                f"have {', '.join(self.command_joints)}"
            )
        self._check_sources()
        self._check_waypoints()
        if self.physical:
            for limit in self.safety.absent():
                raise ValueError(f"{limit} = null: a physical robot must have this limit; set it")
            if self.gate.mode == "off" and not self.gate.i_accept_an_unchecked_policy:
                raise ValueError(
                    "gate.mode = off: a physical robot would run what nobody has checked; choose "
                    "initial or every, or add gate.i_accept_an_unchecked_policy: true"
                )
        return self

    def _check_sources(self) -> None:
        sources = [s for s in self.observation.sources if isinstance(s, JointStateSource)]
        measured = {joint for source in sources for joint in source.joints}
        for joint in self.command_joints:
            if joint not in measured:
                raise ValueError(
                    f"observation.sources: commanded joint '{joint}' is not measured; "
                    "add it to the joints of a JointState source"
                )

    def _check_waypoints(self) -> None:
        for i, waypoint in enumerate(self.reset.waypoints):
            if len(waypoint) != len(self.command_joints):
                raise ValueError(
                    f"reset.waypoints[{i}]: needs {len(self.command_joints)} positions, of "
                    f"{', '.join(self.command_joints)}; has {len(waypoint)}"
                )
            for joint, position in zip(self.command_joints, waypoint, strict=True):
                limit = self.safety.joints[joint]
                if not limit.lower <= position <= limit.upper:
                    raise ValueError(
                        f"reset.waypoints[{i}]: {joint} = {position} is outside its limits, "
                        f"{limit.lower} to {limit.upper}; move the waypoint inside"
                    )

    @property
    def return_range(self) -> tuple[float, float]:
        """What the rewards of an episode can add up to, at least and at most."""
        return self.reward.return_range(self.episode.horizon)

    @property
    def period_ns(self) -> int:
        """Length of a control step in nanoseconds."""
        return round(1e9 / self.control_rate)

    @property
    def command_joints(self) -> tuple[str, ...]:
        """The joints of a command, in the order in which they are sent."""
        gripper = self.action.gripper
        return self.kinematics.joints + ((gripper.joint,) if gripper else ())

    @property
    def contract(self) -> dict:
        """The part that must be equal. The scene is not, nor whether the robot is a physical one,
        who judges there, how it is reset and what the gate asks for: a policy moves from cell to
        cell, and from simulation to the robot."""
        return self.model_dump(mode="json", exclude=NO_CONTRACT)

    @cached_property
    def contract_hash(self) -> str:
        """SHA-256 of the contract as canonical JSON."""
        return contract_hash(self.contract)
