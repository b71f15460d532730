"""`porl demo` in small: the run folder is complete, and Ctrl-C leaves it readable."""

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from command import start
from leftovers import processes_of
from pages import Page

from porl_ros.learning.config import PorlConfig
from porl_ros.policy.bundle import load_bundle
from porl_ros.replay import read_store

pytestmark = pytest.mark.slow

TINY = {
    "presample_steps": 120,
    "total_steps": 240,
    "warmup_mc_updates": 20,
    "warmup_td_updates": 20,
    "publish_every": 40,
}


def demo(folder: Path, **settings: int) -> subprocess.Popen:
    """A demo with a learner that has hardly time to learn."""
    config = folder / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY | settings))
    return start(
        "demo", "--seed", 1, "--output", folder / "run", "--learner-config", config,
        "--no-video", "--device", "cpu", folder=folder,
    )  # fmt: skip


def wait_for(condition: Callable[[], bool], child: subprocess.Popen, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert child.poll() is None, child.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.1)


def finish(child: subprocess.Popen, seconds: float) -> str:
    """Its output, once it has ended by itself."""
    try:
        return child.communicate(timeout=seconds)[0]
    finally:
        child.kill()


def test_a_demo_leaves_everything_that_it_promises(tmp_path, config):
    child, run = demo(tmp_path), tmp_path / "run"
    said = finish(child, 280)
    assert child.returncode == 0, said
    summary = json.loads((run / "summary.json").read_text())
    settings = PorlConfig(**TINY)
    assert summary["status"] == "finished"
    assert summary["seed"] == 1
    assert summary["contract_hash"] == config.contract_hash
    assert summary["env_steps"] == settings.total_steps
    assert summary["gradient_steps"] == 40 + settings.utd * 120
    assert summary["utd"] == summary["utd_asked"] == settings.utd
    assert summary["episodes"] >= 3
    assert summary["wall_clock_s"] > 0
    for name in ("base_success", "final_success", "lowest_success"):
        assert 0.0 <= summary[name] <= 1.0
    for name in ("base_bundle", "final_bundle"):
        assert load_bundle(tmp_path / summary[name], config)
    assert load_bundle(summary["final_bundle"]).manifest.env_steps == settings.total_steps
    rows = sum(len(chunk.rows) for chunk in read_store(run / "store", config.contract_hash))
    assert rows == summary["env_steps"]
    assert (run / "curve.png").read_bytes().startswith(b"\x89PNG")
    report = Page((run / "report.html").read_text())
    assert report.open == report.elsewhere == []
    assert f"{rows} steps" in report.text
    assert f"{summary['base_success']:.2f}" in report.text
    assert report.inside == ["image/svg+xml"] * 3  # success, critics, exploration
    assert "run/report.html" in said.replace("\n", "")
    assert list((run / "learner" / "tensorboard").iterdir())
    assert "Result" in said
    assert processes_of(tmp_path) == []


def test_ctrl_c_while_it_learns_leaves_a_readable_run_and_no_process(tmp_path, config):
    child, run = demo(tmp_path, total_steps=100_000), tmp_path / "run"
    try:
        wait_for((run / "learner" / "bundles" / "000002").exists, child, 200)
        child.send_signal(signal.SIGINT)
        said = finish(child, 60)
    finally:
        child.kill()
    assert child.returncode == 130, said
    assert f"interrupted; what there is lies in {run}" in said.replace("\n", "")
    assert "Traceback" not in said
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "interrupted"
    assert summary["env_steps"] >= TINY["presample_steps"]
    rows = sum(len(chunk.rows) for chunk in read_store(run / "store", config.contract_hash))
    assert rows >= summary["env_steps"]
    for bundle in (run / "learner" / "bundles").iterdir():
        load_bundle(bundle, config)
    assert processes_of(tmp_path) == []


def test_nothing_is_overwritten(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("all of it")
    child = demo(tmp_path)
    said = finish(child, 60)
    assert child.returncode == 1
    assert "there is a run already and nothing is overwritten" in said.replace("\n", " ")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.txt"]
