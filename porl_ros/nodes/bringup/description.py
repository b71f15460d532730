"""Which nodes make a system: one description for launch files and `porl demo`.

Imports no ROS, so that a launch file can be read anywhere.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, Self, get_args, get_origin

from pydantic import Field

from porl_ros.configfile import StrictModel, parse


class NodeSpec(NamedTuple):
    """One process: the executable's name is also its module under `porl_ros.nodes`.

    `namespace` is below that of the whole, which `remaps` may name as `{root}`.
    """

    executable: str
    name: str
    parameters: dict[str, Any]
    required: bool = True  # without it the others cannot go on either
    namespace: str = ""
    remaps: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """Tells it from all others of the whole; fit for the name of a file."""
        return f"{self.namespace}_{self.name}" if self.namespace else self.name

    def namespace_in(self, whole: str) -> str:
        """Where it stands if the whole stands in this namespace; empty: nowhere in particular."""
        return "/".join(filter(None, (whole.strip("/"), self.namespace)))

    def remaps_in(self, whole: str) -> list[tuple[str, str]]:
        """Its remappings if the whole stands in this namespace."""
        root = f"/{whole.strip('/')}" if whole.strip("/") else ""
        return [(name, target.format(root=root)) for name, target in self.remaps]

    @property
    def enclave(self) -> str:
        """Whose keys it has where SROS2 is switched on (docs/security.md)."""
        return f"/porl_ros/{self.name}"


class Arguments(StrictModel):
    """Arguments that a launch file declares, each with description and default."""

    @classmethod
    def parse(cls, values: Mapping[str, str]) -> Self:
        """From the texts of a launch file, which may hold others; ConfigError for a wrong one."""
        own = {name: values[name] for name in cls.model_fields if name in values}
        return parse(cls, own, "launch arguments")


class LaunchArguments(Arguments):
    """What every launch file of this package takes besides its own arguments."""

    namespace: str = Field("", description="namespace of the robot")
    params_file: str = Field("", description="YAML file with parameters; wins over the arguments")
    log_level: Literal["debug", "info", "warn", "error"] = Field("info", description="of all nodes")
    respawn: bool = Field(
        False, description="start a node that has ended again, after a second; else all end with it"
    )
    record: bool = Field(False, description="record the topics that matter, by `ros2 bag`, as MCAP")
    record_folder: str = Field(
        "recordings", description="folder in which each recording makes one of its own"
    )
    foxglove: bool = Field(False, description="run foxglove_bridge, for Foxglove to connect to")
    foxglove_port: int = Field(8765, ge=1, le=65_535, description="TCP port of foxglove_bridge")


class SimulationBringup(Arguments):
    """Arguments of a fine-tuning in simulation; `launch/simulation.launch.py` declares the same."""

    robot_config: str = Field("ur5e_insert", description="path or name of the robot config")
    bundle: str = Field("", description="policy bundle to begin with and to improve")
    store: str = Field("", description="folder of the replay store; made if it is not there")
    output: str = Field("", description="folder for new bundles and logs of the learner")
    learner_config: str = Field(
        "", description="YAML file with settings of the learner; empty: defaults"
    )
    variant: str = Field("", description="cell of the scene; empty: the robot config's")
    mode: Literal["lockstep", "paced"] = Field(
        "lockstep", description="wait for each other, or run by the clock"
    )
    real_time_factor: float = Field(
        1.0, gt=0, le=100, description="paced: simulated seconds a second"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where policy and learner compute"
    )
    seed: int = Field(0, ge=0, description="seed of episodes, exploration and learning")
    explore: bool = Field(True, description="let the policy explore")
    learner: bool = Field(True, description="run the fine-tuning node")
    use_sim_time: bool = Field(True, description="nodes take the time from /clock")

    def nodes(self) -> list[NodeSpec]:
        """The processes, in the order in which they are started."""
        common = {
            "robot_config": self.robot_config,
            "mode": self.mode,
            "use_sim_time": self.use_sim_time,
        }
        common["seed"] = self.seed
        simulation = {"variant": self.variant, "real_time_factor": self.real_time_factor}
        simulation["use_sim_time"] = False  # it is the clock
        policy = {"bundle": self.bundle, "store": self.store, "device": self.device}
        policy |= {"explore": self.explore, "learner": self.learner}
        finetune = {"bundle": self.bundle, "store": self.store, "output": self.output}
        finetune |= {"learner_config": self.learner_config, "device": self.device}
        specs = [
            NodeSpec("simulation_node", "simulation", common | simulation),
            NodeSpec("policy_node", "policy", common | policy),
        ]
        if self.learner:
            specs.append(NodeSpec("finetune_node", "finetune", common | finetune, required=False))
        return specs


class RobotBringup(Arguments):
    """Arguments of a robot, or of its twin in simulation; `launch/robot.launch.py` declares the
    same. Nothing acts that the gate has not admitted, whatever the robot config says of itself."""

    robot_config: str = Field("ur5e_insert", description="path or name of the robot config")
    bundle: str = Field("", description="admitted policy bundle to begin with")
    store: str = Field("", description="folder of the replay store; made if it is not there")
    output: str = Field("", description="folder for new bundles and logs of the learner")
    learner: bool = Field(False, description="run the fine-tuning node")
    learner_config: str = Field(
        "", description="YAML file with settings of the learner; empty: defaults"
    )
    gate: Literal["initial", "every", "config"] = Field(
        "initial", description="which bundles must be admitted; config: as the robot config says"
    )
    twin: str = Field("", description="cell of the scene that stands in for the robot; empty: none")
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where policy and learner compute"
    )
    realtime_priority: int = Field(
        40, ge=0, le=99, description="of control, before all normal processes; 0: as they run"
    )
    seed: int = Field(0, ge=0, description="seed of exploration and learning")
    explore: bool = Field(True, description="let the policy explore, as it was judged")

    def nodes(self) -> list[NodeSpec]:
        """The processes, in the order in which they are started. With `every` the gate is one."""
        common = {"robot_config": self.robot_config, "mode": "paced", "seed": self.seed}
        common["use_sim_time"] = bool(self.twin)
        policy = {"bundle": self.bundle, "store": self.store, "device": self.device}
        policy |= {"explore": self.explore, "learner": self.learner, "gate": self.gate}
        policy["realtime_priority"] = self.realtime_priority
        finetune = {"bundle": self.bundle, "store": self.store, "output": self.output}
        finetune |= {"learner_config": self.learner_config, "device": self.device}
        specs = [NodeSpec("policy_node", "policy", common | policy)]
        if self.twin:
            cell = {"variant": self.twin, "real_time_factor": 1.0, "use_sim_time": False}
            specs.insert(0, NodeSpec("simulation_node", "simulation", common | cell))
        if self.learner:
            specs.append(NodeSpec("finetune_node", "finetune", common | finetune, required=False))
        if self.learner and self.gate == "every":
            judge = ValidationBringup(robot_config=self.robot_config, reference=self.bundle)
            specs += [spec._replace(required=False) for spec in judge.nodes()]
        return specs


class ValidationBringup(Arguments):
    """Arguments of the gate by itself; `launch/validate.launch.py` declares the same."""

    robot_config: str = Field("ur5e_insert", description="path or name of the robot config")
    reference: str = Field("", description="admitted bundle to compare with; empty: none")
    workers: int = Field(1, ge=1, description="processes in which episodes run")

    def nodes(self) -> list[NodeSpec]:
        """The gate, which judges what `learner/bundle` offers."""
        return [NodeSpec("gate_node", "gate", self.model_dump())]


class Argument(NamedTuple):
    """One launch argument; `choices` is None where any text will do."""

    name: str
    default: str
    description: str
    choices: list[str] | None


def launch_arguments(model: type[Arguments]) -> list[Argument]:
    """The arguments of a model as a launch file declares them."""
    arguments = []
    for name, field in model.model_fields.items():
        literal = get_origin(field.annotation) is Literal
        choices = [str(choice) for choice in get_args(field.annotation)] if literal else None
        if field.annotation is bool:
            choices = ["true", "false"]
        text = str(field.default).lower() if field.annotation is bool else str(field.default)
        arguments.append(Argument(name, text, field.description, choices))
    return arguments
