"""Demonstrations, cloning, evaluating: the way there, and what is refused."""

import re
import shutil

import pytest

from porl_ros.policy.bundle import load_bundle
from porl_ros.replay import read_store


def test_demonstrations_are_recorded_cloned_and_evaluated(porl, tmp_path, config):
    store, bundle = tmp_path / "demos", tmp_path / "base"
    said = porl("demos", "--store", store, "--count", 2, "--seed", 1)
    assert said.code == 0
    assert re.search(rf"2 demonstrations, \d+ transitions -> {store}", said.out)
    (chunk,) = read_store(store, config.contract_hash)
    assert chunk.rows["terminated"].sum() == 2
    assert set(chunk.rows["actor"]) == {2}

    said = porl("bc", "--demos", store, "--output", bundle, "--epochs", 2)
    assert said.code == 0
    assert f"cloned from {len(chunk.rows)} transitions -> {bundle}" in said.out
    assert load_bundle(bundle, config).manifest.version == 0

    said = porl("evaluate", bundle, "--episodes", 2)
    assert said.code == 0
    number = r"\d\.\d\d"
    line = rf"success {number} \(95 % interval {number} to {number}, 2 episodes\), "
    assert re.search(line, said.out)


def test_an_unknown_robot(porl, tmp_path, base):
    for arguments in (
        ["demos", "--robot", "ur55", "--store", tmp_path / "s"],
        ["bc", "--robot", "ur55", "--demos", tmp_path / "s", "--output", tmp_path / "b"],
        ["evaluate", base, "--robot", "ur55"],
        ["demo", "--robot", "ur55", "--output", tmp_path / "run"],
    ):
        assert "ur55" in porl.fails(*arguments)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_cell(porl, tmp_path):
    line = porl.fails("demos", "--store", tmp_path / "s", "--variant", "moon")
    assert "moon" in line
    assert "calibrated" in line


def test_demonstrations_are_never_mixed(porl, demonstrations):
    before = sorted(demonstrations.rglob("*"))
    assert "is not empty" in porl.fails("demos", "--store", demonstrations)
    assert sorted(demonstrations.rglob("*")) == before


def test_cloning_overwrites_nothing(porl, demonstrations, base):
    before = (base / "manifest.json").read_bytes()
    line = porl.fails("bc", "--demos", demonstrations, "--output", base, "--epochs", 1)
    assert f"{base} exists already" in line
    assert (base / "manifest.json").read_bytes() == before


def test_cloning_needs_demonstrations_of_this_robot(porl, tmp_path, demonstrations):
    output = ["--output", tmp_path / "b"]
    assert "no replay store" in porl.fails("bc", "--demos", tmp_path / "nowhere", *output)
    line = porl.fails("bc", "--robot", "ur5e_lift", "--demos", demonstrations, *output)
    assert f"contract_hash: the store {demonstrations} was recorded with" in line
    assert list(tmp_path.iterdir()) == []


def test_evaluating_needs_a_bundle_of_this_robot(porl, tmp_path, base):
    line = porl.fails("evaluate", tmp_path / "nowhere")
    assert f"{tmp_path / 'nowhere'}: there is no policy bundle here" in line
    line = porl.fails("evaluate", base, "--robot", "ur5e_lift")
    assert "made for another contract than robot config 'ur5e_lift'" in line


@pytest.mark.parametrize("file", ["manifest.json", "weights.safetensors"])
def test_a_damaged_bundle_is_not_evaluated(porl, tmp_path, base, file):
    damaged = shutil.copytree(base, tmp_path / "damaged") / file
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.chmod(0o644)
    damaged.write_bytes(content)
    assert str(damaged) in porl.fails("evaluate", damaged.parent)


def test_brackets_in_a_path_are_not_taken_for_markup(porl, tmp_path):
    odd = tmp_path / "[red]" / "[end]"
    assert str(odd) in porl.fails("evaluate", odd)
