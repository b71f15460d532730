"""Which nodes make a system, with which parameters: one description for launch files and `porl demo`.

Imports no ROS, so that a launch file can be read anywhere.
"""

from typing import Any, Literal, NamedTuple

from pydantic import Field

from porl_ros.configfile import StrictModel


class NodeSpec(NamedTuple):
    """One process: the executable's name is also its module under `porl_ros.nodes`."""

    executable: str
    name: str
    parameters: dict[str, Any]


class SimulationBringup(StrictModel):
    """Arguments of a fine-tuning in simulation; `launch/simulation.launch.py` declares the same."""

    robot_config: str = Field("ur5e_insert", description="path or name of the robot config")
    bundle: str = Field("", description="policy bundle to begin with and to improve")
    store: str = Field("", description="folder of the replay store; made if it is not there")
    output: str = Field("", description="folder for new bundles and logs of the learner")
    learner_config: str = Field("", description="YAML file with settings of the learner; empty: defaults")
    variant: str = Field("", description="cell of the scene; empty: the robot config's")
    mode: Literal["lockstep", "paced"] = Field("lockstep", description="wait for each other, or run by the clock")
    real_time_factor: float = Field(1.0, gt=0, le=100, description="paced: simulated seconds a second")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where policy and learner compute")
    seed: int = Field(0, ge=0, description="seed of episodes, exploration and learning")
    explore: bool = Field(True, description="let the policy explore")
    learner: bool = Field(True, description="run the fine-tuning node")
    use_sim_time: bool = Field(True, description="nodes take the time from /clock")

    def nodes(self) -> list[NodeSpec]:
        """The processes, in the order in which they are started."""
        common = {"robot_config": self.robot_config, "mode": self.mode, "use_sim_time": self.use_sim_time}
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
            specs.append(NodeSpec("finetune_node", "finetune", common | finetune))
        return specs
