"""Every way of not being admitted: refused, and named."""

import hashlib
import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml
from gated import admit, make_record

from porl_ros.errors import ConfigError
from porl_ros.paths import resolve_robot_config
from porl_ros.policy.bundle import MANIFEST, WEIGHTS
from porl_ros.robot.config import RobotConfig
from porl_ros.validation import admission, record, site_key
from porl_ros.validation.admission import NotAdmitted, verify
from porl_ros.validation.site_key import SiteKeyError, make_site_key, read_site_key

LATER = timedelta(days=91)


def configured(**changes: object) -> RobotConfig:
    """The shipped robot with other values, by dotted keys."""
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    for key, value in changes.items():
        *path, last = key.split("__")
        section = content
        for part in path:
            section = section[part]
        section[last] = value
    return RobotConfig.model_validate(content)


def flip(path: Path, position: int = -50) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def edit_record(bundle: Path, **changes: object) -> None:
    """Without the key there is only the old signature to put below."""
    path = record.record_path(bundle)
    said = json.loads(path.read_text())
    said["record"] |= changes
    path.write_text(json.dumps(said, sort_keys=True, indent=1) + "\n")


def another_key(bundle: Path) -> None:
    site_key.site_key_path().unlink()
    make_site_key()


def with_more_noise(bundle: Path) -> None:
    path = bundle / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"exploration_std": 2.0}))


def other_weights(bundle: Path) -> None:
    """A manifest that fits them: a sound bundle, but not the one that was judged."""
    flip(bundle / WEIGHTS)
    digest = hashlib.sha256((bundle / WEIGHTS).read_bytes()).hexdigest()
    path = bundle / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"weights_sha256": digest}))


SPOILED = {
    "no record": ("missing", lambda b: record.record_path(b).unlink()),
    "a pipe for a record": ("missing", lambda b: (record.record_path(b).unlink(),
                                                  record.record_path(b).mkdir())),
    "no bundle": ("no bundle", lambda b: (b / WEIGHTS).unlink()),
    "a flipped bit in the weights": ("other weights", lambda b: flip(b / WEIGHTS)),
    "sound but other weights": ("other weights", other_weights),
    "another exploration": ("other manifest", with_more_noise),
    "a space more in the manifest": (
        "other manifest", lambda b: (b / MANIFEST).write_text((b / MANIFEST).read_text() + " ")),
    "an edited decision": ("edited", lambda b: edit_record(b, decision="admitted", why="trust me")),
    "edited hashes": ("edited", lambda b: edit_record(b, made={"weights_sha256": "0" * 64})),
    "a flipped bit in the record": ("edited", lambda b: flip(record.record_path(b))),
    "a space more in the record": ("edited", lambda b: record.record_path(b).write_text(
        record.record_path(b).read_text() + " ")),
    "an empty record": ("edited", lambda b: record.record_path(b).write_text("")),
    "a deep record": ("edited", lambda b: record.record_path(b).write_text("[" * 100_000)),
    "another site's key": ("other key", another_key),
    "no site key": ("no site key", lambda b: site_key.site_key_path().unlink()),
    "a key that all can read": (
        "no site key", lambda b: site_key.site_key_path().chmod(0o644)),
}  # fmt: skip


@pytest.mark.parametrize("case", SPOILED)
def test_what_was_spoiled_is_not_admitted(bundle, config, case):
    admit(bundle, config)
    reason, spoil = SPOILED[case]
    verify(bundle, config)
    spoil(bundle)
    with pytest.raises(NotAdmitted, match=str(bundle.parent)) as refused:
        verify(bundle, config)
    assert refused.value.reason == reason


ELSEWHERE = {
    "other contract": {"control_rate": 20.0},
    "other scene": {"simulation__variant": "calibrated"},
    "other suite": {"simulation__scene": "ur5e_lift.yaml", "simulation__variant": "shifted"},
    "other rule": {"gate__rule__success": 0.5},
}


@pytest.mark.parametrize("reason", ELSEWHERE)
def test_what_was_judged_for_something_else_is_not_admitted(bundle, config, reason):
    admit(bundle, config)
    with pytest.raises(NotAdmitted) as refused:
        verify(bundle, configured(**ELSEWHERE[reason]))
    assert refused.value.reason == reason


def test_other_code_is_another_proof(bundle, config, monkeypatch):
    admit(bundle, config)
    monkeypatch.setattr(admission, "code_hash", lambda: "0" * 64)
    with pytest.raises(NotAdmitted, match="another version of porl_ros"):
        verify(bundle, config)


def test_a_refused_policy_is_not_admitted(bundle, config):
    admit(bundle, config, decision="refused", why="success is not at least 0.8")
    with pytest.raises(NotAdmitted, match="success is not at least 0.8") as refused:
        verify(bundle, config)
    assert refused.value.reason == "refused"


def test_an_admission_ends_and_does_not_begin_in_the_future(bundle, config):
    admit(bundle, config)
    now = datetime.now(UTC)
    verify(bundle, config, now=now + LATER - timedelta(days=2))
    for at, reason in ((now + LATER, "expired"), (now - timedelta(days=2), "from the future")):
        with pytest.raises(NotAdmitted) as refused:
            verify(bundle, config, now=at)
        assert refused.value.reason == reason


def test_a_base_may_be_begun_with_and_not_be_put_in_by_a_learner(bundle, config):
    admit(bundle, config, purpose="base")
    assert verify(bundle, config).record.purpose == "base"
    with pytest.raises(NotAdmitted, match="as a base only"):
        verify(bundle, config, candidate=True)


def test_the_mode_may_change_without_another_validation(bundle, config):
    admit(bundle, config)
    verify(bundle, configured(physical=True, gate__mode="every"))


def test_a_signed_record_that_makes_no_sense_is_refused(bundle, config):
    whole = make_record(bundle, config).model_dump(mode="json")
    content = record._render(whole | {"decision": "perhaps"}, make_site_key())
    record.record_path(bundle).write_bytes(content)
    with pytest.raises(NotAdmitted, match="decision: Input should be"):
        verify(bundle, config)


def test_a_physical_robot_without_a_gate_must_say_so():
    with pytest.raises(ValueError, match="i_accept_an_unchecked_policy: true"):
        configured(physical=True, gate__mode="off")
    configured(physical=True, gate__mode="off", gate__i_accept_an_unchecked_policy=True)
    assert configured(gate__mode="off").gate.mode == "off"  # a simulated one need not


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("gate__rule__success", 1.0, "less than 1"),
        ("gate__rule__margin", 0.3, "success [+] margin = 1.1"),
        ("gate__mode", "never", "'initial', 'every' or 'off'"),
        ("gate__rule__least", 0, "greater than 0"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(key, value, complaint):
    with pytest.raises(ValueError, match=complaint):
        configured(**{key: value})


def test_a_rule_that_asks_for_nothing_is_refused():
    with pytest.raises(ValueError, match="everything would pass"):
        configured(gate__rule__success=None, gate__rule__worse_by=None)


def test_the_site_key_is_made_once_and_kept_secret():
    key = make_site_key()
    path = site_key.site_key_path()
    assert make_site_key() == key == read_site_key() == path.read_bytes()
    assert len(key) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [p.name for p in path.parent.iterdir()] == [path.name]
    for mode in (0o640, 0o604, 0o660):
        path.chmod(mode)
        with pytest.raises(SiteKeyError, match="chmod 600"):
            read_site_key()
    path.chmod(0o600)
    path.write_bytes(b"short")
    with pytest.raises(SiteKeyError, match="is no site key"):
        make_site_key()


def test_an_interrupted_write_leaves_the_record_that_was_there(bundle, config, monkeypatch):
    path = admit(bundle, config)
    before = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("no room")))
    with pytest.raises(OSError, match="no room"):
        admit(bundle, config, why="another")
    assert path.read_bytes() == before
    assert {p.name for p in bundle.parent.iterdir()} == {"policy", path.name, "site"}


def test_a_scene_without_a_suite_judges_nobody(bundle, config, monkeypatch):
    from porl_ros.simulation.scene import SceneConfig

    load = SceneConfig.load
    monkeypatch.setattr(
        SceneConfig, "load", lambda name: load(name).model_copy(update={"suite": None})
    )
    with pytest.raises(ConfigError, match="suite: is required"):
        admission.describe(bundle, config)


def test_reading_a_record_needs_neither_mujoco_nor_torch():
    program = (
        "import sys; import porl_ros.validation.admission, porl_ros.validation.audit; "
        "found = {'mujoco', 'torch', 'rclpy'} & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
