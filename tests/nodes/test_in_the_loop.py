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
from porl_ros.nodes.checks.rollout import TookTooLong, roll_out
from porl_ros.paths import resolve_robot_config
from porl_ros.replay import read_store
from porl_ros.replay.tools.episodes import episodes
from porl_ros.validation import audit, site_key
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


def rollout(bundle: Path, robot: Path, *options: object) -> subprocess.CompletedProcess:
    """The command, as CI calls it."""
    command = [sys.executable, "-m", "porl_ros.cli", "rollout", str(bundle), "--robot", str(robot)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [*command, *map(str, options)], env=environment, capture_output=True, text=True, timeout=250
    )


def test_a_good_policy_passes_through_all_nodes(tmp_path, robot, base):
    kept = tmp_path / "kept"
    options = "--episodes", EPISODES, "--success", 0.2, "--output", kept, "--json"
    done = rollout(base, robot, *options)
    assert done.returncode == 0, done
    said = json.loads(done.stdout)
    assert len(said["episodes"]) == EPISODES
    assert said["gate"]["decision"] == "admitted"
    assert said["success"] == sum(one["success"] for one in said["episodes"]) / EPISODES >= 0.2
    assert said["interval"][0] <= said["success"] <= said["interval"][1]
    assert len(episodes(read_store(kept / "store"))) >= EPISODES
    for made in (record_path(kept / "policy"), report_path(kept / "policy"), kept / "audit.jsonl"):
        assert made.is_file()
    assert not record_path(base).exists()  # nothing of this site was touched
    assert processes_of(tmp_path) == []


def test_what_the_gate_refuses_never_acts(tmp_path, base):
    robot = robot_file(tmp_path / "strict.yaml", bounds={"velocity": 0.01})
    done = rollout(base, robot, "--episodes", 1, "--output", tmp_path / "kept")
    assert done.returncode == 3, done
    assert "not admitted (refused): the gate refuses it: " in done.stdout
    assert "velocity is not at most 0.01" in done.stdout
    assert not (tmp_path / "kept" / "store").exists()
    assert processes_of(tmp_path) == []


def test_time_is_bounded_and_no_process_is_left(tmp_path, robot, base):
    before = dict(os.environ)
    with pytest.raises(TookTooLong, match=r"of 100000 episodes are done; give it more"):
        roll_out(robot, base, tmp_path / "run", episodes=100_000, gate=False, timeout=5.0)
    assert processes_of(tmp_path) == []
    assert os.environ[site_key.VARIABLE] == before[site_key.VARIABLE]
    assert os.environ[audit.VARIABLE] == before[audit.VARIABLE]


def test_zero_episodes_are_refused(tmp_path, robot, base):
    with pytest.raises(ConfigError, match="episodes = 0: must be 1 or more"):
        roll_out(robot, base, tmp_path / "run", episodes=0)
    assert not (tmp_path / "run").exists()


USERS = """
def test_good_enough(in_the_loop):
    done = in_the_loop("{robot}", "{base}", episodes=2, gate=False, success=0.0)
    assert [one.number for one in done.episodes] == [0, 1]

def test_too_good(in_the_loop):
    in_the_loop("{robot}", "{base}", episodes=1, gate=False, success=1.1)
"""


def test_a_user_gets_the_fixture_and_a_failure_that_says_what_is_missing(tmp_path, robot, base):
    """In a pytest of its own, with nothing of this one's but the plugin."""
    (tmp_path / "test_policy.py").write_text(USERS.format(robot=robot, base=base))
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "porl_ros.nodes.checks.testing",
        str(tmp_path),
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=200
    )
    assert "1 passed" in done.stdout, done.stdout
    assert "1 failed" in done.stdout
    assert "asked for is 1.1; store and logs are in" in done.stdout
    assert processes_of(tmp_path) == []
