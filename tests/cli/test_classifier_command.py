"""`porl classifier`: trains, shows how good it is, tells what is wrong."""

import json
from pathlib import Path

import pytest
from judged_episodes import record
from PIL import Image

from porl_ros.replay import ReplayWriter, robot_schema


@pytest.fixture(scope="module")
def store(tmp_path_factory, config) -> Path:
    path = tmp_path_factory.mktemp("judged") / "store"
    record(config, path, successes=12, failures=10)
    return path


def test_train_and_show(porl, store, tmp_path):
    output, picture = tmp_path / "judge", tmp_path / "judge.png"
    train = "classifier", "train", "--store", store, "--steps", 200, "--output", output
    said = porl(*train, "--plot", picture)
    assert said.code == 0, said
    for part in ("was success", "said success", "probability", "calibration error", "Brier"):
        assert part in said.out
    assert "4 episodes held out" in said.out
    assert Image.open(picture).size[0] > 300
    shown = porl("classifier", "show", output)
    assert shown.out.strip() in said.out
    manifest = json.loads(porl("classifier", "show", output, "--json").out)
    assert manifest["kind"] == "success classifier"
    assert manifest["held_out"]["episodes"] == 4
    assert "there is a classifier already and nothing is overwritten" in porl.fails(*train)


def test_what_is_wrong_is_told(porl, store, tmp_path, config):
    with ReplayWriter(tmp_path / "empty", robot_schema(config), "arm"):
        pass
    train = "classifier", "train", "--output", tmp_path / "judge", "--store"
    assert "no transitions; record" in porl.fails(*train, tmp_path / "empty")
    assert "--hidden = '3,x': must be widths" in porl.fails(*train, store, "--hidden", "3,x")
    assert "there is no classifier here" in porl.fails("classifier", "show", tmp_path / "nothing")
    assert porl("classifier", "train", "--store", store).code == 2
    assert not (tmp_path / "judge").exists()
