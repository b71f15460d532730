"""Two robots in two namespaces with one learner: one store, one policy, each its own time."""

import json
import shutil

import numpy as np
import pytest
import yaml
from gated import admit
from running import LEARNER, System

from porl_ros.errors import ConfigError
from porl_ros.learning.checkpoint import BOOKS
from porl_ros.nodes.bringup.description import RobotBringup
from porl_ros.nodes.bringup.processes import NodeProcesses
from porl_ros.nodes.bringup.several import MultiBringup
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.replay import read_store

FAST = 4.0  # simulated seconds a second


def test_each_robot_has_its_namespace_and_the_learner_has_none():
    specs = MultiBringup(robots="a,b,c", twin="twin", seed=5).nodes()
    assert [(s.namespace, s.name) for s in specs] == [
        ("a", "simulation"), ("a", "policy"), ("b", "simulation"), ("b", "policy"),
        ("c", "simulation"), ("c", "policy"), ("", "finetune"),
    ]  # fmt: skip
    assert [s.key for s in specs[:2]] == ["a_simulation", "a_policy"]
    assert [s.parameters["seed"] for s in specs] == [5, 5, 6, 6, 7, 7, 5]
    assert not specs[-1].parameters["use_sim_time"]
    assert specs[-1].parameters["robots"] == "a,b,c"
    assert not any(s.required for s in specs)  # one robot that ends leaves the others at work
    alone = RobotBringup(twin="twin", learner=True, seed=5).nodes()
    assert [s.parameters for s in specs[:2]] == [s.parameters for s in alone[:2]]


def test_robots_hear_of_their_learner_wherever_the_whole_stands():
    policy = MultiBringup(robots="a").nodes()[0]
    assert dict(policy.remaps_in(""))["learner/bundle"] == "/learner/bundle"
    assert dict(policy.remaps_in("cell/"))["gate/admitted"] == "/cell/gate/admitted"
    assert (policy.namespace_in(""), policy.namespace_in("/cell")) == ("a", "cell/a")


def test_one_gate_for_all():
    specs = MultiBringup(robots="a,b", gate="every").nodes()
    assert [(s.namespace, s.name) for s in specs] == [
        ("a", "policy"), ("b", "policy"), ("", "finetune"), ("", "gate"),
    ]  # fmt: skip


@pytest.mark.parametrize("robots", ["", "a,", "1st", "a b", "a,a", "a/b"])
def test_names_that_are_no_namespaces_are_refused(robots):
    with pytest.raises(ConfigError, match="robots = "):
        MultiBringup.parse({"robots": robots})


@pytest.mark.slow
def test_two_robots_learn_together(tmp_path, config, base, monkeypatch):
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "site.key"))
    monkeypatch.setenv("PORL_AUDIT_LOG", str(tmp_path / "audit.jsonl"))
    bundle = shutil.copytree(base, tmp_path / "policy")
    admit(bundle, config)
    (tmp_path / "learner.yaml").write_text(yaml.safe_dump(LEARNER | {"total_steps": 200}))
    bringup = MultiBringup(
        robots="arm1,arm2", twin="calibrated", bundle=str(bundle), store=str(tmp_path / "store"),
        output=str(tmp_path / "out"), learner_config=str(tmp_path / "learner.yaml"),
    )  # fmt: skip
    specs = [
        s._replace(parameters=s.parameters | {"real_time_factor": FAST})
        if s.name == "simulation"
        else s
        for s in bringup.nodes()
    ]
    with (
        NodeProcesses(specs, tmp_path / "nodes") as nodes,
        Monitor() as monitor,
        Monitor("arm1") as one,
        Monitor("arm2") as other,
    ):
        system = System(tmp_path, nodes, monitor)

        def both_act_with_what_was_learned() -> bool:
            for robot in (one, other):
                robot.spin_once(0.0)
            finished = bool(monitor.learner.get("finished"))
            newest = finished and max(int(p.name) for p in (tmp_path / "out/bundles").iterdir())
            return finished and one.policy_version == other.policy_version == newest

        system.wait_for(both_act_with_what_was_learned)
        for robot in (one, other):  # each for the first time, and the learner counts both
            assert robot.trigger("back_to_base").success
        log = nodes.log_path("finetune")
        both = [f"{name} is back to version 0" for name in ("arm1", "arm2")]
        system.wait_for(lambda: all(text in log.read_text() for text in both))
        assert set(nodes.stop().values()) == {0}
    state = max((tmp_path / "out" / "checkpoints").glob(f"*/{BOOKS}"))
    run = json.loads(state.read_text())["run"]
    assert run["returns"] == {"arm1": 1, "arm2": 1}
    learned = run["last_rows"]  # by run: the last one's number
    assert {run.split("/")[0] for run in learned} == {"arm1", "arm2"}
    assert min(number for number, _ in learned.values()) > 50
    rows = {}
    for chunk in read_store(tmp_path / "store"):
        rows.setdefault(chunk.run.split("/")[0], []).append(chunk.rows)
    first = [np.concatenate(chunks)["observation"][0] for chunks in rows.values()]
    assert not np.array_equal(*first)  # each has a seed of its own
