"""The parameters of a node as a tool for tuning sees them: through the parameter services."""

import json
import math
import random
import re
from collections.abc import Callable

from by_hand import Operator
from rcl_interfaces.msg import ParameterDescriptor
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.parameter import Parameter, parameter_value_to_python
from running import System
from std_msgs.msg import String

from porl_ros.nodes import messages

WEIRD = [
    0, 1, 2, 3, 64, 65, -1, 2**40, 0.0, 0.5, 1.0, 1e-9, -0.1, 3.5, 1e300, math.nan, math.inf, True,
    "fast", "", "every", "config", "hold", "stop", "continue", [1, 2], [0.5], [True],
]  # fmt: skip


class Knobs:
    """Of one node. `effective`: what it last said is in force."""

    def __init__(self, system: System, node: str, said_on: str, prefix: str = ""):
        self.system, self._operator, self.effective = system, Operator(system), {}
        self._node, self._prefix = node, prefix
        listen = system.monitor.node.create_subscription
        listen(String, said_on, self._hear, messages.LATCHED)
        system.wait_for(lambda: self.effective)

    def _hear(self, message: String) -> None:
        self.effective = json.loads(message.data)

    def call(self, kind, request):
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        return self._operator.call(kind, f"{self._node}/{name}", request)

    def set(self, name: str, value) -> tuple[bool, str]:
        """Whether it was taken, and the reason if not."""
        parameters = [Parameter(self._prefix + name, value=value).to_parameter_msg()]
        (result,) = self.call(SetParameters, SetParameters.Request(parameters=parameters)).results
        return result.successful, result.reason

    def get(self, names: list[str]) -> dict:
        full = [self._prefix + name for name in names]
        values = self.call(GetParameters, GetParameters.Request(names=full)).values
        found = dict(zip(names, map(parameter_value_to_python, values), strict=True))
        return {name: list(v) if name == "critic_hidden" else v for name, v in found.items()}

    def describe(self, names: list[str]) -> list[ParameterDescriptor]:
        request = DescribeParameters.Request(names=[self._prefix + name for name in names])
        return self.call(DescribeParameters, request).descriptors

    def turn_at_random(
        self, names: list[str], times: int, tame: Callable = lambda name, value: value
    ) -> int:
        """Set good and bad values; how many were refused, each with a reason."""
        rng, refused = random.Random(0), 0
        for _ in range(times):
            name = rng.choice(names)
            taken, reason = self.set(name, tame(name, rng.choice(WEIRD)))
            refused += not taken
            assert taken or reason
        return refused
