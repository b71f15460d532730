"""Several robots that learn together: which nodes make such a system.

Imports no ROS, as `description`.
"""

import re

from pydantic import Field, field_validator

from porl_ros.nodes.bringup.description import NodeSpec, RobotBringup
from porl_ros.robot.config_types import require_unique

# Each simulated robot has its own time, and all hear of policies one namespace up.
REMAPS = (
    ("/clock", "clock"),
    ("learner/bundle", "{root}/learner/bundle"),
    ("gate/admitted", "{root}/gate/admitted"),
)
OF_A_ROBOT = ("simulation", "policy")


class MultiBringup(RobotBringup):
    """Arguments of several robots with one learner; `launch/bringup_multi.launch.py` declares the
    same. Each robot is a namespace; all record in one store and act with the same policy. The seed
    is the first robot's and the learner's; the next robot has the next."""

    robots: str = Field("arm1,arm2", description="their namespaces, separated by commas")
    learner: bool = Field(True, description="run the fine-tuning node, one for all")

    @field_validator("robots")
    @classmethod
    def _check_names(cls, robots: str) -> str:
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
            robot = RobotBringup(**fields | {"seed": self.seed + index})
            # One that ends leaves the others at work.
            of_it = {"required": False, "namespace": name, "remaps": REMAPS}
            specs += [spec._replace(**of_it) for spec in robot.nodes() if spec.name in OF_A_ROBOT]
        once = RobotBringup(**fields | {"twin": ""}).nodes()  # in no robot's time
        return specs + [self._for_all(spec) for spec in once if spec.name not in OF_A_ROBOT]

    def _for_all(self, spec: NodeSpec) -> NodeSpec:
        """The learner hears when any of them goes back to an earlier policy."""
        more = {"robots": self.robots} if spec.name == "finetune" else {}
        return spec._replace(parameters=spec.parameters | more)
