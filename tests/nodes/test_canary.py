"""Policies on trial on a robot: a real policy node, whose episodes end as the test says."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from gated import admit
from running import write_config
from scripted_robot import ScriptedRobot, scripted_robot
from std_msgs.msg import Bool, String
from test_bad_input import refusals
from test_gate_policy import copy_of

from porl_ros.nodes import messages
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.robot.loading import load_robot
from porl_ros.validation import audit

pytestmark = pytest.mark.slow

# Every other episode, and certain after three or six that tell the two apart.
CANARY = {"share": 0.5, "worse_by": 0.5, "false_promotion": 0.2, "false_withdrawal": 0.2}
ABOUT_TRIALS = {"canary begun", "promoted", "withdrawn", "undecided", "went back"}


@pytest.fixture(autouse=True)
def _own_site(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "site" / "site.key"))
    monkeypatch.setenv("PORL_AUDIT_LOG", str(tmp_path / "site" / "audit.jsonl"))


class Canaries:
    """A robot whose episodes succeed or fail by the version that acts, and a gate that admits."""

    def __init__(self, robot: ScriptedRobot, config_file: Path, base: Path, folder: Path):
        self.robot, self.monitor = robot, robot.system.monitor
        self._config, self._base, self._folder = load_robot(config_file), base, folder
        self.ended: list[bool] = []
        self.returned: list[dict] = []
        listen, node = robot.node.create_subscription, robot.node
        listen(Bool, "policy/episode_success", lambda m: self.ended.append(m.data), messages.EVENTS)
        listen(
            String, "policy/returned", lambda m: self.returned.append(json.loads(m.data)),
            messages.LATCHED,
        )  # fmt: skip
        self._gate = node.create_publisher(String, "gate/admitted", messages.LATCHED_EVENTS)

    def offer(self, version: int, returns: int = 0) -> Path:
        path = self._folder / f"{version:06d}"
        if not path.exists():
            bundle = load_bundle(self._base)
            with torch.no_grad():  # another policy, by as much as nobody notices
                bundle.actor.layers[-1].bias += 1e-6 * version
            save_bundle(
                path, bundle.actor, bundle.manifest.contract, made_by="a test", version=version,
                exploration_std=0.1, returns={self._config.name: returns},
            )  # fmt: skip
            admit(path, self._config)
        loaded = events().count("admitted policy loaded")
        self._gate.publish(String(data=json.dumps({"path": str(path)})))
        self.robot.until(lambda: events().count("admitted policy loaded") > loaded, "loaded")
        return path

    def play(self, bad: set[int] = frozenset()) -> int:
        """One episode; the version that acted."""
        self.robot.act(2)
        self.robot.sync()
        version, number = self.monitor.policy_version, len(self.ended)
        self.robot.trigger("mark_failure" if version in bad else "mark_success")
        self.robot.until(lambda: len(self.ended) > number, "ended")
        resets = self.robot.resets
        self.robot.until(lambda: self.robot.resets > resets or self.robot.state[0] == "acting")
        return version

    def play_until(self, event: str, bad: set[int] = frozenset(), most: int = 30) -> list[int]:
        versions, before = [], events().count(event)
        while events().count(event) == before:
            versions.append(self.play(bad))
            assert len(versions) < most, versions
        return versions


def events() -> list[str]:
    return [line["event"] for line in audit.read()] if audit.audit_path().exists() else []


def trials() -> list[dict]:
    return [line for line in audit.read() if line["event"] in ABOUT_TRIALS]


@pytest.fixture
def robot_file(tmp_path, config) -> Path:
    gate = config.gate.model_dump(mode="json") | {"canary": CANARY}
    return write_config(tmp_path / "robot.yaml", gate=gate, reward={"source": "operator"})


@pytest.fixture
def canaries(tmp_path, base, robot_file) -> Iterator[Canaries]:
    bundle = copy_of(base, tmp_path / "base", 0)
    config = load_robot(robot_file)
    admit(bundle, config, purpose="base")
    parameters = {"robot_config": str(robot_file), "gate": "every", "learner": True}
    with scripted_robot(tmp_path, config, bundle, **parameters) as robot:
        found = Canaries(robot, robot_file, base, tmp_path / "bundles")
        robot.configure()
        yield found


def test_a_better_one_takes_turns_and_is_promoted(canaries):
    path = canaries.offer(3)
    versions = canaries.play_until("promoted", bad={0})
    assert {0, 3} == set(versions)
    canaries.play()  # it may have begun meanwhile
    assert {canaries.play() for _ in range(4)} == {3}
    begun, promoted = trials()
    assert begun["event"] == "canary begun"
    assert (begun["version"], begun["acting_version"]) == (3, 0)
    assert promoted["event"] == "promoted"
    assert promoted["bundle"] == promoted["acts"] == str(path)
    assert promoted["weights_sha256"] == load_bundle(path).manifest.weights_sha256
    assert promoted["candidate"]["successes"] == promoted["candidate"]["episodes"] > 1
    assert promoted["incumbent"]["successes"] == 0
    assert promoted["better_by"][0] > -CANARY["worse_by"]
    assert canaries.returned == []


def test_a_worse_one_is_withdrawn_and_what_grew_from_it_is_not_tried(canaries):
    canaries.offer(3)
    canaries.play_until("withdrawn", bad={3})
    canaries.robot.until(lambda: canaries.returned, "returned")
    assert (canaries.returned[-1]["version"], canaries.returned[-1]["returns"]) == (0, 1)
    canaries.offer(3)
    canaries.offer(4, returns=0)  # was on its way
    assert {canaries.play() for _ in range(6)} == {0}
    canaries.offer(5, returns=1)
    assert {canaries.play() for _ in range(4)} == {0, 5}
    withdrawn = trials()[1]
    assert (withdrawn["event"], withdrawn["acting_version"], withdrawn["returns"]) == (
        "withdrawn", 0, 1,
    )  # fmt: skip
    assert [line["version"] for line in trials()] == [3, 3, 5]


def test_the_operator_ends_a_trial(canaries):
    canaries.offer(3)
    while canaries.play() != 3:
        pass
    said = canaries.robot.trigger("back_to_base")
    assert "policy version 0 acts" in said
    canaries.robot.until(lambda: canaries.returned, "returned")
    assert {canaries.play() for _ in range(4)} == {0}
    assert trials()[-1]["event"] == "withdrawn"
    assert trials()[-1]["why"] == "the operator says so"


def test_what_cannot_be_written_down_is_not_promoted(canaries):
    canaries.offer(3)
    canaries.play(bad={0})
    path = audit.audit_path()
    path.rename(path.with_name("kept"))
    path.mkdir()  # nothing can be appended to it
    log = canaries.robot.system.nodes.log_path("policy")
    for _ in range(20):
        canaries.play(bad={0})
        if "is not promoted" in log.read_text():
            break
    assert {canaries.play() for _ in range(4)} == {0}
    assert "the audit log cannot be written" in log.read_text()


def test_after_a_restart_the_incumbent_acts_and_later_the_promoted_one(canaries):
    canaries.offer(3)
    canaries.play(bad={0})
    canaries.play(bad={0})
    canaries.robot.configure()
    canaries.robot.until(lambda: canaries.monitor.policy_version == 0, "the incumbent acts")
    canaries.offer(3)  # as its learner would: the trial begins anew
    canaries.play_until("promoted", bad={0})
    assert events().count("canary begun") == 2
    canaries.robot.configure()
    assert {canaries.play() for _ in range(3)} == {3}
    canaries.offer(7)
    canaries.play_until("withdrawn", bad={7})
    canaries.robot.configure()
    assert {canaries.play() for _ in range(2)} == {3}
    told = canaries.returned
    canaries.robot.until(lambda: told and told[-1]["returns"] == 1, "it is told again")
    assert "cannot go on" not in canaries.robot.system.nodes.log_path("policy").read_text()


def test_in_lock_step_nobody_can_be_tried(tmp_path, base, robot_file):
    bundle = copy_of(base, tmp_path / "base", 0)
    admit(bundle, load_robot(robot_file), purpose="base")
    (said,) = refusals(
        "policy_node", bundle=bundle, store=tmp_path / "store", robot_config=robot_file,
        gate="every",
    )  # fmt: skip
    assert "gate.canary.share = 0.5: in lock-step" in said
