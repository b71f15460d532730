"""`porl policy import` on the command line."""

import json

import torch
from torch import nn

from porl_ros.policy.bundle import load_bundle


def weights(path):
    torch.manual_seed(0)
    torch.save(nn.Sequential(nn.Linear(15, 8), nn.ReLU(), nn.Linear(8, 3)).state_dict(), path)
    return path


def test_weights_become_a_bundle(porl, tmp_path, config):
    said = porl("policy", "import", weights(tmp_path / "p.pth"), "--output", tmp_path / "b")
    assert said.code == 0
    assert "learning goes on in it" in said.out
    bundle = load_bundle(tmp_path / "b", config)
    assert bundle.manifest.made_by == "porl policy import"
    assert bundle.manifest.exploration_std == 0.2


def test_a_signature_freezes_it_and_a_script_is_told(porl, tmp_path, config):
    (tmp_path / "s.yaml").write_text("activation: tanh\nsquash: true\naction_scale: 0.5\n")
    said = porl(
        "policy", "import", weights(tmp_path / "p.pth"), "--output", tmp_path / "b",
        "--signature", tmp_path / "s.yaml", "--residual", 0.1, "--json",
    )  # fmt: skip
    assert said.code == 0
    told = json.loads(said.out)
    assert (told["form"], told["frozen"]) == ("layers", True)
    assert load_bundle(tmp_path / "b", config).manifest.residual.scale == 0.1
    shown = porl("policy", "show", tmp_path / "b")
    assert shown.code == 0


def test_what_is_wrong_is_told(porl, tmp_path):
    assert "there is no layer" in porl.fails(
        "policy", "import", empty(tmp_path / "e.pth"), "--output", tmp_path / "b"
    )
    (tmp_path / "s.yaml").write_text("activaton: tanh\n")
    said = porl(
        "policy", "import", weights(tmp_path / "p.pth"), "--output", tmp_path / "b",
        "--signature", tmp_path / "s.yaml",
    )  # fmt: skip
    assert said.code == 1
    assert "did you mean 'activation'?" in said.err
    assert "cannot be read" in porl.fails(
        "policy", "import", tmp_path / "none", "--output", tmp_path / "b"
    )
    assert not (tmp_path / "b").exists()


def empty(path):
    torch.save({}, path)
    return path
