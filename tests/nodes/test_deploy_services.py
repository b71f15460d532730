"""Another policy for a robot that runs, and the way back, by the services deploy and rollback."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from gated import admit
from running import write_config
from scripted_robot import ScriptedRobot, scripted_robot
from std_srvs.srv import Trigger
from test_canary import Canaries, trials
from test_gate_policy import copy_of

from porl_ros.robot.loading import load_robot
from porl_ros.validation import audit
from porl_ros.validation.deployment import deploy

pytestmark = pytest.mark.slow

CANARY = {"share": 0.5, "worse_by": 0.5, "false_promotion": 0.2, "false_withdrawal": 0.2}


@pytest.fixture(autouse=True)
def _own_site(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "site" / "site.key"))
    monkeypatch.setenv("PORL_AUDIT_LOG", str(tmp_path / "site" / "audit.jsonl"))


class Place:
    """A place, and admitted bundles to let it lead to."""

    def __init__(self, folder: Path, base: Path, robot_file: Path):
        self.path, self.config = folder / "place", load_robot(robot_file)
        self._base, self._folder = base, folder

    def lead_to(self, version: int, admitted: bool = True) -> Path:
        bundle = self._folder / f"v{version}"
        copy_of(self._base, bundle, version)
        if admitted:
            admit(bundle, self.config)
            deploy(self.path, bundle, self.config)
        return bundle

    @property
    def version(self) -> int:
        return int(self.path.resolve().name[1:])


def robot_file(folder: Path, config, share: float) -> Path:
    gate = config.gate.model_dump(mode="json") | {"canary": CANARY | {"share": share}}
    return write_config(folder / "robot.yaml", gate=gate, reward={"source": "operator"})


def refusal(robot: ScriptedRobot, service: str) -> str:
    answer = robot.operator.call(Trigger, service, Trigger.Request())
    assert not answer.success
    return answer.message


@pytest.fixture
def at_once(tmp_path, config, base) -> Iterator[tuple[ScriptedRobot, Place, Canaries]]:
    """A robot without trials, configured with a place."""
    yield from _brought_up(tmp_path, config, base, share=0.0)


@pytest.fixture
def tried(tmp_path, config, base) -> Iterator[tuple[ScriptedRobot, Place, Canaries]]:
    """One with trials."""
    yield from _brought_up(tmp_path, config, base, share=0.5)


def _brought_up(folder, config, base, share):
    file = robot_file(folder, config, share)
    place = Place(folder, base, file)
    place.lead_to(1)
    parameters = {"robot_config": str(file), "gate": "initial"}
    with scripted_robot(folder, place.config, place.path, **parameters) as robot:
        canaries = Canaries(robot, file, base, folder / "bundles")
        assert "nothing is loaded" in refusal(robot, "deploy")
        robot.configure()
        yield robot, place, canaries


def test_there_and_back_again_while_the_robot_runs(at_once):
    robot, place, canaries = at_once
    assert canaries.play() == 1
    place.lead_to(2)
    robot.act()
    assert "policy version 2 " in (said := robot.trigger("deploy"))
    assert "acts from the next episode on" in said
    robot.act(4)
    assert canaries.monitor.policy_version == 1  # not within an episode
    canaries.play()
    assert canaries.play() == 2
    robot.act()
    assert "policy version 1 " in (said := robot.trigger("rollback"))
    assert "from the next step on" in said
    robot.until(lambda: canaries.monitor.policy_version == 1, "back")
    assert place.version == 1
    events = [line["event"] for line in audit.read() if line["event"] != "admitted policy loaded"]
    assert events == ["deployed", "deployed", "rolled back", "went back"]
    assert "nothing was deployed here before" in refusal(robot, "rollback")


def test_what_cannot_be_is_refused_and_nothing_changes(at_once):
    robot, place, canaries = at_once
    assert "acts already; let " in refusal(robot, "deploy")
    bundle = place.lead_to(2)
    (bundle.parent / "v2.admission.json").unlink()
    assert "not admitted: " in refusal(robot, "deploy")
    place.path.unlink()
    place.path.symlink_to(place.path.parent / "gone")
    assert "there is no policy bundle here" in refusal(robot, "deploy")
    shutil.copytree(bundle, other := place.path.parent / "other")
    robot.set(bundle=str(other))
    assert "is no place that leads to a bundle" in refusal(robot, "rollback")
    assert {canaries.play() for _ in range(2)} == {1}


def test_with_a_learner_candidates_come_through_the_gate(tmp_path, config, base):
    file = robot_file(tmp_path, config, 0.5)
    place = Place(tmp_path, base, file)
    place.lead_to(1)
    parameters = {"robot_config": str(file), "gate": "every", "learner": True}
    with scripted_robot(tmp_path, place.config, place.path, **parameters) as robot:
        robot.configure()
        assert "a learner is linked" in refusal(robot, "deploy")
        assert "call back_to_base" in refusal(robot, "rollback")


def test_what_is_deployed_is_tried_and_rolled_back_when_it_is_withdrawn(tried):
    robot, place, canaries = tried
    place.lead_to(2)
    assert "is on trial from the next episode on" in robot.trigger("deploy")
    canaries.play_until("canary begun")
    assert "policy version 2 is on trial; wait" in refusal(robot, "deploy")
    canaries.play_until("withdrawn", bad={2})
    robot.until(lambda: place.version == 1, "rolled back")
    assert {canaries.play() for _ in range(3)} == {1}
    place.lead_to(3)
    robot.trigger("deploy")
    canaries.play_until("promoted", bad={1})
    canaries.play()
    assert {canaries.play() for _ in range(3)} == {3}
    assert place.version == 3


def test_a_trial_that_a_restart_cut_off_begins_anew_beside_what_acted(tried):
    robot, place, canaries = tried
    place.lead_to(2)
    robot.trigger("deploy")
    canaries.play_until("canary begun")
    robot.configure()
    assert canaries.monitor.policy_version == 1
    canaries.play_until("promoted", bad={1})
    canaries.play()
    assert canaries.play() == 2
    assert [line["event"] for line in trials()] == ["canary begun", "canary begun", "promoted"]


def test_rollback_ends_a_trial(tried):
    robot, place, canaries = tried
    place.lead_to(2)
    robot.trigger("deploy")
    while canaries.play() != 2:
        pass
    robot.trigger("rollback")
    assert {canaries.play() for _ in range(4)} == {1}
    assert place.version == 1
    assert trials()[-1]["event"] == "withdrawn"
