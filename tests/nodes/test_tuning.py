"""Operators tune nodes by ROS parameters while they work."""

import math
import re
from collections.abc import Iterable

import pytest
from knobs import Knobs
from running import LEARNER, checkpoints, running

from porl_ros.learning.config import LIVE, PorlConfig
from porl_ros.nodes.bringup.processes import NodeProcesses, ProcessDied
from porl_ros.nodes.settings import SETTINGS, nested, settings_of
from porl_ros.validation import audit

pytestmark = pytest.mark.slow

LONG = {"presample_steps": 100, "total_steps": 1_000_000, "publish_every": 25}
LONG |= {"utd": 1, "batch_size": 16, "critic_hidden": [16]}
SETS = 500
NAMES = sorted(PorlConfig.model_fields)


@pytest.fixture(scope="module")
def desk(tmp_path_factory, base) -> Iterable[Knobs]:
    folder = tmp_path_factory.mktemp("tuning")
    with running(folder, base, LONG, finetune={"checkpoint_interval": 0.5}) as system:
        system.wait_for(lambda: (system.monitor.policy_version or 0) >= 2)
        yield Knobs(system, "finetune", "learner/config", "learner.")
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
        ("anchor_final", 50.0, "anchor_final \\(50.0\\) must not exceed anchor \\(2.0\\)"),
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
    monitor = desk.system.monitor
    refused = desk.turn_at_random(NAMES, SETS, _not_for_ever)
    assert SETS / 2 < refused < SETS
    wanted = desk.get(NAMES)
    PorlConfig(**wanted)
    desk.system.nodes.check()
    desk.set("total_steps", 1_000_000)
    steps = monitor.policy_steps
    desk.system.wait_for(lambda: monitor.policy_steps > steps + 200)
    wanted["total_steps"] = 1_000_000
    desk.system.wait_for(lambda: desk.effective == wanted)


def _not_for_ever(name: str, value):
    slow = name in ("total_steps", "batch_size", "utd") and isinstance(value, int)
    return min(value, 3) if slow else value


@pytest.mark.parametrize("node", ["policy", "simulation"])
def test_hundreds_of_settings_of_the_nodes_that_control(desk, node):
    kind, monitor = SETTINGS[node], desk.system.monitor
    settings = {setting.name: setting for setting in settings_of(kind())}
    knobs = Knobs(desk.system, node, f"{node}/config")
    for name, described in zip(settings, knobs.describe(list(settings)), strict=True):
        setting = settings[name]
        assert described.description == f"{setting.schema['description']} ({setting.when})"
        assert described.read_only is setting.read_only
        ranges = [*described.integer_range, *described.floating_point_range]
        assert [(r.from_value, r.to_value) for r in ranges] == ([setting.range] * len(ranges))
        assert bool(ranges) is (setting.range is not None)
    refused = knobs.turn_at_random(list(settings), SETS)
    assert SETS / 2 < refused < SETS
    desk.system.nodes.check()
    steps = monitor.policy_steps
    desk.system.wait_for(lambda: monitor.policy_steps > steps + 100)
    found = nested(knobs.get(list(settings)))
    same = {"seed": 0} if node == "simulation" else {}  # which the policy node sets
    wanted = kind.model_validate(found | same)
    desk.system.wait_for(lambda: kind.model_validate(knobs.effective | same) == wanted)
    changes = [e for e in audit.read() if e["event"] == "parameter" and e["node"] == f"/{node}"]
    assert {entry["name"] for entry in changes} <= kind.live - kind.routine
    assert (node == "policy") is all("env_step" in entry for entry in changes)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("mode", "paced", "mode = paced: cannot change while the node is configured"),
        ("velocity_scale", 1.1, "out of range"),
        ("watchdog.stale", "continue", "watchdog.stale = 'continue': Input should be 'hold', 'ra"),
        ("takeover_timeout", 0.0, "whether anybody may take over is settled at configure"),
        ("gate", "config", "gate = 'config': 'every' is in force and can only be tightened"),
        ("autostart", False, "read-only"),
    ],
)
def test_a_policy_node_refuses_with_a_reason(desk, name, value, reason):
    knobs = Knobs(desk.system, "policy", "policy/config")
    assert knobs.set("gate", "every") == (True, "")
    assert knobs.set("takeover_timeout", 0.5) == (True, "")
    taken, said = knobs.set(name, value)
    assert not taken
    assert reason in said


def test_what_was_tuned_stays_so_after_a_crash(desk):
    system, monitor = desk.system, desk.system.monitor
    assert desk.set("publish_every", 31)[0]
    system.wait_for(lambda: desk.effective["publish_every"] == 31)
    newest = checkpoints(system.folder)[-1]  # the next one may be of before, that after it is not
    system.wait_for(lambda: checkpoints(system.folder)[-2] > newest)
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
