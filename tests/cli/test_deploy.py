"""Deploying what is admitted, and the way back."""

import shutil
from pathlib import Path

import pytest
from gated import admit

from porl_ros.robot.loading import load_robot
from porl_ros.validation import audit
from porl_ros.validation.record import record_path


@pytest.fixture
def bundles(tmp_path, base, monkeypatch) -> list[Path]:
    """Three copies; the first two are admitted."""
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "site.key"))
    monkeypatch.setenv("PORL_AUDIT_LOG", str(tmp_path / "audit.jsonl"))
    made = [shutil.copytree(base, tmp_path / name) for name in ("one", "two", "three")]
    for bundle in made[:2]:
        admit(bundle, load_robot("ur5e_insert"))
    return made


def events() -> list[tuple[str, str]]:
    return [(line["event"], Path(line["bundle"]).name) for line in audit.read()]


def test_there_and_back_again(porl, tmp_path, bundles):
    place = tmp_path / "deployed"
    one, two, _ = bundles
    for bundle in (one, two):
        assert porl("deploy", bundle, "--place", place).code == 0
        assert place.resolve() == bundle
        assert porl("validate", place, "--check").code == 0  # a link is what it leads to
    said = porl("rollback", "--place", place)
    assert (said.code, place.resolve()) == (0, one)
    assert f"{place} -> {one}" in said.out
    assert events() == [("deployed", "one"), ("deployed", "two"), ("rolled back", "one")]
    assert "nothing was deployed here before" in porl.fails("rollback", "--place", place)
    assert porl("deploy", two, "--place", place).code == 0
    record_path(one).unlink()  # by now it may not act any more
    said = porl("rollback", "--place", place)
    assert (said.code, place.resolve()) == (3, two)
    assert "not admitted (missing)" in said.out
    assert len(events()) == 4


def test_what_is_not_admitted_is_not_deployed(porl, tmp_path, bundles):
    place = tmp_path / "deployed"
    said = porl("deploy", bundles[2], "--place", place)
    assert said.code == 3
    assert "not admitted (missing)" in said.out
    assert not place.exists()
    assert not audit.audit_path().exists()


def test_what_is_there_already_stays(porl, tmp_path, bundles):
    complaint = porl.fails("deploy", bundles[0], "--place", bundles[1])
    assert "no link to a bundle; name another place" in complaint
    assert "nothing was deployed here before" in porl.fails("rollback", "--place", tmp_path / "no")


def test_a_log_that_was_changed_leads_nowhere(porl, tmp_path, bundles):
    place = tmp_path / "deployed"
    for bundle in bundles[:2]:
        porl("deploy", bundle, "--place", place)
    path = audit.audit_path()
    path.write_text(path.read_text().replace("one", "two", 1))
    assert "line 2 or the one before it was changed" in porl.fails("rollback", "--place", place)
    assert place.resolve() == bundles[1]
