"""From a recording to a policy: `porl replay import`, `porl bc`, `porl evaluate`."""

import re
from pathlib import Path

import numpy as np
import pytest
from demonstrated import demonstrate

from porl_ros.replay import read_store

FLAG = "policy/episode_success"


def success_of(porl, bundle: Path) -> float:
    said = porl("evaluate", bundle, "--variant", "calibrated", "--episodes", 20)
    return float(re.search(r"success (\d\.\d\d)", said.out)[1])


@pytest.mark.slow
def test_a_policy_is_cloned_from_a_recording(porl, tmp_path, config, base):
    """And is as good as one that is cloned from what the robot recorded itself."""
    direct = demonstrate(tmp_path / "bag", config, "calibrated", 14)
    said = porl(
        "replay", "import", tmp_path / "bag", "--store", tmp_path / "demos",
        "--success", FLAG, "--actor", "expert", "--only-successful",
    )  # fmt: skip
    assert said.code == 0
    won = np.isin(direct.episode, direct.episode[direct.terminated])
    wins = int(direct.terminated.sum())
    assert f"{wins} episodes, {wins} successful, {won.sum()} transitions" in said.out
    assert f"{(~won).sum()} steps left out: in an episode without success" in said.out
    (chunk,) = read_store(tmp_path / "demos", config.contract_hash)
    assert np.array_equal(chunk.rows["stamp"], direct.stamp[won])
    said = porl("bc", "--demos", tmp_path / "demos", "--output", tmp_path / "base", "--epochs", 200)
    assert said.code == 0
    assert success_of(porl, tmp_path / "base") >= success_of(porl, base) - 0.15


@pytest.mark.slow
def test_what_was_left_out_is_told(porl, tmp_path, config):
    demonstrate(tmp_path / "bag", config, "calibrated", 2, lambda *_: None, seed=1)
    said = porl("replay", "import", tmp_path / "bag", "--store", tmp_path / "demos")
    assert said.code == 0
    assert re.search(r"note: \d+ steps left out: after the success", said.out)
    assert "actions are how the robot moved (no commands recorded)" in said.out
    assert "already" in porl.fails(
        "replay", "import", tmp_path / "bag", "--store", tmp_path / "demos"
    )
    line = porl.fails("replay", "import", tmp_path / "nowhere", "--store", tmp_path / "demos")
    assert "there is no recording" in line
    line = porl.fails(
        "replay", "import", tmp_path / "bag", "--store", tmp_path / "x", "--robot", "ur5e_lift"
    )
    assert "no topic /cube_pose" in line
