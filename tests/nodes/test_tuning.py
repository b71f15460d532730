"""Operators tune the learner by ROS parameters while it learns."""

import json
import math
import random
import re
from collections.abc import Iterable

import pytest
from by_hand import Operator
from rcl_interfaces.msg import ParameterDescriptor
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.parameter import Parameter, parameter_value_to_python
from running import LEARNER, System, running
from std_msgs.msg import String

from porl_ros.learning.config import LIVE, PorlConfig
from porl_ros.nodes import messages
from porl_ros.nodes.processes import NodeProcesses, ProcessDied
from porl_ros.validation import audit

pytestmark = pytest.mark.slow

LONG = {"presample_steps": 100, "total_steps": 1_000_000, "publish_every": 25}
LONG |= {"utd": 1, "batch_size": 16, "critic_hidden": [16]}
SETS = 500
NAMES = sorted(PorlConfig.model_fields)
WEIRD = [
    0, 1, 2, 3, 64, 65, -1, 2**40, 0.0, 0.5, 1.0, 1e-9, -0.1, 3.5, 1e300, math.nan, math.inf, True,
    "fast", "", [1, 2], [0.5], [True],
]  # fmt: skip


class Desk:
    """Where an operator sits."""

    def __init__(self, system: System):
        self.system, self._operator, self.effective = system, Operator(system), {}
        node = system.monitor.node
        node.create_subscription(String, "learner/config", self._hear, messages.LATCHED)
        system.wait_for(lambda: self.effective)

    def _hear(self, message: String) -> None:
        self.effective = json.loads(message.data)

    def call(self, kind, request):
        name = re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
        return self._operator.call(kind, f"finetune/{name}", request)

    def set(self, name: str, value) -> tuple[bool, str]:
        """Whether it was taken, and the reason if not."""
        parameters = [Parameter(f"learner.{name}", value=value).to_parameter_msg()]
        (result,) = self.call(SetParameters, SetParameters.Request(parameters=parameters)).results
        return result.successful, result.reason

    def get(self, names: list[str]) -> dict:
        full = [f"learner.{name}" for name in names]
        values = self.call(GetParameters, GetParameters.Request(names=full)).values
        found = dict(zip(names, map(parameter_value_to_python, values), strict=True))
        return {name: list(v) if name == "critic_hidden" else v for name, v in found.items()}

    def describe(self, names: list[str]) -> list[ParameterDescriptor]:
        request = DescribeParameters.Request(names=[f"learner.{name}" for name in names])
        return self.call(DescribeParameters, request).descriptors


@pytest.fixture(scope="module")
def desk(tmp_path_factory, base) -> Iterable[Desk]:
    folder = tmp_path_factory.mktemp("tuning")
    with running(folder, base, LONG, finetune={"checkpoint_interval": 0.5}) as system:
        system.wait_for(lambda: (system.monitor.policy_version or 0) >= 2)
        yield Desk(system)
        assert set(system.nodes.stop().values()) == {0}
    for log in (folder / "nodes").glob("*.log"):
        assert "Traceback" not in log.read_text()


def test_descriptions_and_ranges_are_those_of_the_model(desk):
    schema = PorlConfig.model_json_schema()["properties"]
    for name, described in zip(NAMES, desk.describe(NAMES), strict=True):
        when = "live" if name in LIVE else "fixed while configured"
        assert described.description == f"{schema[name]['description']} ({when})"
        ranges = [*described.integer_range, *described.floating_point_range]
        if "maximum" in schema[name]:
            assert ranges[0].to_value == schema[name]["maximum"]


def test_the_values_are_those_of_the_file(desk):
    found = desk.get(NAMES)
    expected = PorlConfig(**LEARNER | LONG).model_dump(mode="json")
    assert found == expected
    assert desk.effective == expected


def test_a_change_takes_effect_and_is_written_down(desk):
    assert desk.set("utd", 3) == (True, "")
    desk.system.wait_for(lambda: desk.effective["utd"] == 3)
    monitor = desk.system.monitor
    told = monitor.learner
    desk.system.wait_for(lambda: monitor.learner is not told)  # something said since
    before = monitor.learner
    desk.system.wait_for(lambda: monitor.learner["env_steps"] > before["env_steps"] + 200)
    after = monitor.learner
    updates = after["gradient_steps"] - before["gradient_steps"]
    assert updates / (after["env_steps"] - before["env_steps"]) == pytest.approx(3.0, abs=0.2)
    last = [entry for entry in audit.read() if entry["event"] == "parameter"][-1]
    assert (last["event"], last["name"], last["old"], last["new"]) == (
        "parameter", "learner.utd", 1, 3,
    )  # fmt: skip
    assert last["node"] == "/finetune"
    assert 0 < last["gradient_step"] <= before["gradient_steps"]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("utd", 65, "out of range"),
        ("utd", 0.5, "type"),
        ("critics", 3, "learner.critics = 3: cannot change while the node is configured"),
        ("anchor_final", 50.0, "anchor_final \\(50.0\\) must not exceed anchor \\(1.0\\)"),
        ("critic_learning_rate", 0.0, "critic_learning_rate = 0.0: Input should be greater than 0"),
        ("discount", math.nan, "discount (= nan|out of range)"),
        ("recent_share", 0.9, "must not exceed 1"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(desk, name, value, reason):
    taken, said = desk.set(name, value)
    assert not taken
    assert re.search(reason, said), said


def test_hundreds_of_settings_good_and_bad(desk):
    rng, monitor = random.Random(0), desk.system.monitor
    refused = 0
    for _ in range(SETS):
        name, value = rng.choice(NAMES), rng.choice(WEIRD)
        if name in ("total_steps", "batch_size", "utd") and isinstance(value, int):
            value = min(value, 3)  # or it would take ever
        taken, reason = desk.set(name, value)
        refused += not taken
        assert taken or reason
    assert SETS / 2 < refused < SETS
    wanted = desk.get(NAMES)
    PorlConfig(**wanted)
    desk.system.nodes.check()
    desk.set("total_steps", 1_000_000)
    steps = monitor.policy_steps
    desk.system.wait_for(lambda: monitor.policy_steps > steps + 200)
    wanted["total_steps"] = 1_000_000
    desk.system.wait_for(lambda: desk.effective == wanted)


def test_what_was_tuned_stays_so_after_a_crash(desk):
    system, monitor = desk.system, desk.system.monitor
    assert desk.set("publish_every", 31)[0]
    system.wait_for(lambda: desk.effective["publish_every"] == 31)
    done = monitor.learner["gradient_steps"]
    system.wait_for(lambda: monitor.learner["gradient_steps"] > done + 400)  # and a checkpoint
    system.nodes.kill("finetune")
    monitor.learner, desk.effective = {}, {}
    system.nodes.start(system.specs["finetune"])
    system.wait_for(lambda: monitor.learner and desk.effective)
    assert desk.effective["publish_every"] == 31
    assert desk.get(["publish_every"]) == {"publish_every": 31}


def test_a_value_that_is_given_wins_and_a_wrong_one_is_told(desk, tmp_path):
    spec = desk.system.specs["finetune"]
    wrong = spec._replace(name="other", parameters=spec.parameters | {"learner.utd": 1000})
    with NodeProcesses([wrong], tmp_path) as nodes, pytest.raises(ProcessDied, match="code 1"):
        desk.system.monitor.wait_for(lambda: False, 60.0, nodes.check)
    assert "learner.utd" in nodes.log_path("other").read_text()
