"""Several robots that learn together: which nodes make such a system.

Imports no ROS, as `description`.
"""

import re
from typing import Literal

from pydantic import Field, field_validator

from porl_ros.nodes.bringup.description import Arguments, NodeSpec, RobotBringup
from porl_ros.robot.config_types import require_unique

# Each simulated robot has its own time, and all hear of policies one namespace up.
REMAPS = (
    ("/clock", "clock"),
    ("learner/bundle", "{root}/learner/bundle"),
    ("gate/admitted", "{root}/gate/admitted"),
)
OF_A_ROBOT = ("simulation", "policy")


class MultiBringup(Arguments):
    """Arguments of several robots with one learner; `launch/bringup_multi.launch.py` declares the
    same. Each robot is a namespace; all record in one store and act with the same policy."""

    robots: str = Field("arm1,arm2", description="their namespaces, separated by commas")
    robot_config: str = Field("ur5e_insert", description="path or name of the robot config of all")
    bundle: str = Field("", description="admitted policy bundle to begin with")
    store: str = Field("", description="folder of the replay store; made if it is not there")
    output: str = Field("", description="folder for new bundles and logs of the learner")
    learner_config: str = Field(
        "", description="YAML file with settings of the learner; empty: defaults"
    )
    gate: Literal["initial", "every", "config"] = Field(
        "initial", description="which bundles must be admitted; config: as the robot config says"
    )
    twin: str = Field(
        "", description="cell of the scene that stands in for each robot; empty: none"
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="where policies and learner compute"
    )
    seed: int = Field(0, ge=0, description="seed of the first robot; the next one has the next")
    explore: bool = Field(True, description="let the policies explore, as they were judged")

    @field_validator("robots")
    @classmethod
    def _names(cls, robots: str) -> str:
        names = robots.split(",")
        for name in names:
            if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name):
                raise ValueError(f"'{name}' is no namespace: letters, digits and _; as arm1,arm2")
        require_unique(names, "robots")
        return robots

    def nodes(self) -> list[NodeSpec]:
        """Each robot's processes, then the learner, and with `every` its gate."""
        fields = self.model_dump(exclude={"robots"})
        specs = []
        for index, name in enumerate(self.robots.split(",")):
            robot = RobotBringup(**fields | {"learner": True, "seed": self.seed + index})
            for spec in robot.nodes():
                if spec.name in OF_A_ROBOT:
                    # One that ends leaves the others at work.
                    specs.append(spec._replace(required=False, namespace=name, remaps=REMAPS))
        once = RobotBringup(**fields | {"learner": True, "twin": ""}).nodes()  # in no robot's time
        return specs + [spec for spec in once if spec.name not in OF_A_ROBOT]
