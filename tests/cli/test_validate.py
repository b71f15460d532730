"""`porl validate`: exit codes, the table, the record and the report, and an interruption."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest
import yaml
from command import start
from gated import CALIBRATION, admit
from pages import Page

from porl_ros.paths import resolve_robot_config
from porl_ros.robot.loading import load_robot
from porl_ros.validation import video
from porl_ros.validation.record import record_path, report_path


@pytest.fixture(autouse=True)
def _own_site(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "site" / "site.key"))


@pytest.fixture
def bundle(tmp_path, base) -> Path:
    return shutil.copytree(base, tmp_path / "policy")


@pytest.fixture
def robot(tmp_path) -> Path:
    """The shipped one, judged where its policy mostly fails."""
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    content["simulation"]["variant"] = "hard"
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.slow
def test_a_policy_that_falls_short_is_refused_with_3(porl, bundle, robot, monkeypatch):
    """Also where nothing can be rendered: it goes on without films, and says so."""
    monkeypatch.setattr(video, "LIBRARIES", ("no_such_library",))
    said = porl("validate", bundle, "--robot", robot)
    assert said.code == 3, said
    assert "no video (" in said.err
    assert video.REMEDY in said.err
    assert "refused: success is not at least 0.8" in said.out
    assert "does not hold" in said.out
    assert "worst seeds 30000000000" in said.out
    assert str(report_path(bundle)) in said.out
    shown = Page(report_path(bundle).read_text())
    assert "REFUSED" in shown.text
    assert "no video (" in shown.text
    assert video.REMEDY in shown.text
    assert "image/webp" not in shown.inside
    said = porl("validate", bundle, "--robot", robot, "--check")
    assert said.code == 3
    assert "not admitted (refused)" in said.out


def test_what_was_admitted_is_found_so_and_shown(porl, bundle, robot):
    admit(bundle, load_robot(robot))
    said = porl("validate", bundle, "--robot", robot, "--check")
    assert said.code == 0
    assert "admitted: everything asked for holds" in said.out
    said = porl("validate", bundle, "--robot", robot, "--check", "--json")
    assert json.loads(said.out)["decision"] == "admitted"
    said = porl("validate", bundle, "--check")  # the shipped config judges in another cell
    assert said.code == 3
    assert "not admitted (other scene)" in said.out


def test_a_calibrated_cell_is_shown_with_how_well_it_fits(porl, bundle, robot):
    admit(bundle, load_robot(robot), calibration=CALIBRATION)
    said = porl("validate", bundle, "--robot", robot, "--check")
    assert "the cell was calibrated from 40 episodes; the replayed tool is off by" in said.out
    assert "5.20 mm in 'calibrated' and by 1.10 mm in this cell" in said.out.replace("\n", " ")


def test_mistakes_are_told(porl, tmp_path, bundle):
    assert "there is no policy bundle here" in porl.fails("validate", tmp_path / "nowhere")
    assert "made for another contract" in porl.fails("validate", bundle, "--robot", "ur5e_lift")
    complaint = porl.fails("validate", bundle, "--as-base", "--reference", bundle)
    assert "--as-base and --reference exclude each other" in complaint
    assert porl("validate", bundle, "--workers", "0").code == 2
    assert not record_path(bundle).exists()


@pytest.mark.slow
def test_an_interrupted_validation_leaves_no_record(tmp_path, bundle):
    child = start("validate", bundle, "--as-base", folder=tmp_path)
    try:
        while len(_children(child.pid)) < 3:  # two workers and what tracks their resources
            assert child.poll() is None
        os.killpg(child.pid, signal.SIGINT)  # as a terminal does: to all of them
        out, _ = child.communicate(timeout=60)
    finally:
        child.kill()
    assert child.returncode == 130, out
    assert "Traceback" not in out
    assert "interrupted" in out
    assert [p.name for p in bundle.parent.iterdir() if p.name.startswith("policy")] == ["policy"]


def _children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
