"""A policy through gate, simulation and policy node: the fixture that users get, the command."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from leftovers import processes_of

from porl_ros.errors import ConfigError
from porl_ros.nodes.rollout import TookTooLong, roll_out
from porl_ros.paths import resolve_robot_config
from porl_ros.validation import audit, site_key
from porl_ros.validation.admission import NotAdmitted
from porl_ros.validation.record import record_path, report_path

pytestmark = pytest.mark.slow
EPISODES = 6


@pytest.fixture
def robot(tmp_path) -> Path:
    """The shipped one where its policy was cloned, by a rule that it meets after a few episodes."""
    return robot_file(tmp_path / "robot.yaml", success=0.25, margin=0.3, least=10)


def robot_file(path: Path, **rule: float) -> Path:
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    content["simulation"]["variant"] = "calibrated"
    content["gate"]["rule"] |= rule
    path.write_text(yaml.safe_dump(content))
    return path


def test_a_good_policy_passes_through_all_nodes(in_the_loop, robot, base):
    done = in_the_loop(robot, base, episodes=EPISODES, success=0.2)
    assert len(done.episodes) == EPISODES
    assert [one.number for one in done.episodes] == list(range(EPISODES))
    assert done.gate["decision"] == "admitted"
    assert done.success >= 0.2
    low, high = done.interval
    assert low < done.success < high or done.success in (0.0, 1.0)
    folder = done.folder
    assert record_path(folder / "policy").is_file()
    assert report_path(folder / "policy").is_file()
    assert (folder / "audit.jsonl").is_file()
    assert not record_path(base).exists()  # nothing of this site was touched
    assert str(folder) not in os.environ[site_key.VARIABLE] + os.environ[audit.VARIABLE]
    assert processes_of(folder) == []


def test_what_the_gate_refuses_never_acts(tmp_path, base):
    robot = robot_file(tmp_path / "strict.yaml", bounds={"velocity": 0.01})
    with pytest.raises(NotAdmitted, match="the gate refuses it: velocity is not at most 0.01"):
        roll_out(robot, base, tmp_path / "run", episodes=1)
    assert not (tmp_path / "run" / "store").exists()
    assert processes_of(tmp_path) == []


def test_time_is_bounded_and_no_process_is_left(tmp_path, robot, base):
    with pytest.raises(TookTooLong, match=r"of 100000 episodes are done; give it more") as told:
        roll_out(robot, base, tmp_path / "run", episodes=100_000, gate=False, timeout=15.0)
    assert "policy version 0 is up" in str(told.value)
    assert processes_of(tmp_path) == []


def test_zero_episodes_are_refused(tmp_path, robot, base):
    with pytest.raises(ConfigError, match="episodes = 0: must be 1 or more"):
        roll_out(robot, base, tmp_path / "run", episodes=0)
    assert not (tmp_path / "run").exists()


USERS = """
def test_good_enough(in_the_loop):
    assert len(in_the_loop("{robot}", "{base}", episodes=2, gate=False).episodes) == 2

def test_too_good(in_the_loop):
    in_the_loop("{robot}", "{base}", episodes=2, gate=False, success=1.1)
"""


def test_a_user_gets_the_fixture_and_a_failure_that_says_what_is_missing(tmp_path, robot, base):
    """In a pytest of its own, with nothing of this one's."""
    (tmp_path / "test_policy.py").write_text(USERS.format(robot=robot, base=base))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "porl_ros.nodes.testing", str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert "1 passed" in done.stdout, done.stdout
    assert "1 failed" in done.stdout
    assert "asked for is 1.1; store and logs are in" in done.stdout
    assert processes_of(tmp_path) == []


def test_the_command_tells_scripts_whether_it_is_good_enough(tmp_path, robot, base):
    def rollout(*options: object) -> subprocess.CompletedProcess:
        command = [
            sys.executable,
            "-m",
            "porl_ros.cli",
            "rollout",
            str(base),
            "--robot",
            str(robot),
        ]
        command += ["--episodes", "2", "--no-gate", "--json", *map(str, options)]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)

    enough = rollout("--success", 0.0, "--output", tmp_path / "kept")
    assert enough.returncode == 0, enough
    said = json.loads(enough.stdout)
    assert len(said["episodes"]) == 2
    assert said["gate"] is None
    assert (tmp_path / "kept" / "store").is_dir()
    too_little = rollout("--success", 1.0, "--variant", "hard", "--episodes", 3)
    assert too_little.returncode == 3, too_little
    assert json.loads(too_little.stdout)["success"] < 1.0
    again = rollout("--output", tmp_path / "kept")
    assert again.returncode == 1
    assert "there is a run already" in again.stderr
