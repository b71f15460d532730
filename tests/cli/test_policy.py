"""`porl policy` as a user runs it: what it says, what it leaves, and its exit codes."""

import json
import re
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
import torch

from porl_ros.policy.bundle import MANIFEST, WEIGHTS, load_bundle, save_bundle
from porl_ros.policy.network import Actor
from porl_ros.replay import ReplayWriter, robot_schema


def write(path: Path, config, version: int, **fields) -> None:
    torch.manual_seed(version)
    fields = {"parent": "0" * 64, "exploration_std": 0.2, "env_steps": 50 * version} | fields
    actor = Actor(15, 3, (8,))
    save_bundle(path, actor, config.contract, made_by="test", version=version, **fields)


@pytest.fixture
def folder(tmp_path, config) -> Path:
    """A learner's output: versions 1 to 5, beside the base."""
    write(tmp_path / "out" / "base", config, 0, parent=None)
    for version in range(1, 6):
        returns = {"arm": 1} if version == 5 else {}
        write(tmp_path / "out" / "bundles" / f"{version:06d}", config, version, returns=returns)
    return tmp_path / "out" / "bundles"


@pytest.fixture
def store(tmp_path, config) -> Path:
    """Versions 1 and 2 have acted: one success, one failure each; 2 acted last."""
    rng = np.random.default_rng(0)
    with ReplayWriter(tmp_path / "store", robot_schema(config), "arm", "one") as writer:
        for row in range(20):
            last, won = row % 5 == 4, row // 5 % 2 == 0
            writer.log(
                observation=rng.standard_normal(15), action=np.zeros(3),
                requested_action=np.ones(3), reward=float(last and won),
                terminated=last and won, truncated=last and not won, actor=0,
                policy_version=1 + row // 10, episode=row // 5, step=row % 5, stamp=row,
                final_observation=np.zeros(15) if last else None,
            )  # fmt: skip
    return tmp_path / "store"


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def names(folder: Path) -> list[int]:
    return sorted(int(path.name) for path in folder.iterdir())


def test_ls(porl, folder, store, tmp_path):
    said = porl("policy", "ls", tmp_path / "out", "--store", store)
    assert said.code == 0
    assert said.out.count("sound") == 6
    text = " ".join(said.out.split())
    for expected in ("base", "fine-tuned", "after going back 1 times", "0.50 of 2", "unknown"):
        assert expected in text, expected
    assert "250 steps" in text
    replace(folder / "000003" / WEIGHTS, b"damaged")
    told = json.loads(porl("policy", "ls", folder, "--json").out)
    assert [one["version"] for one in told] == [1, 2, 3, 4, 5]
    assert [bool(one["fault"]) for one in told] == [False, False, True, False, False]
    assert told[0]["stage"] == "fine-tuned"
    assert told[0]["success"] is None
    told = json.loads(porl("policy", "ls", folder, "--store", store, "--json").out)
    assert (told[0]["success"], told[0]["episodes"]) == (0.5, 2)
    replace(folder / "000002" / MANIFEST, b"{")
    assert "Invalid JSON" in porl("policy", "ls", folder).out
    (tmp_path / "empty").mkdir()
    assert "no policy bundle below" in porl("policy", "ls", tmp_path / "empty").out
    assert "there is no such folder" in porl.fails("policy", "ls", tmp_path / "nowhere")
    assert "no replay store at" in porl.fails("policy", "ls", folder, "--store", tmp_path / "no")


def test_show(porl, folder):
    said = porl("policy", "show", folder / "000002")
    assert said.code == 0
    for text in ("weights_sha256", "layers.0.weight", "8 x 15", "120", "verified:", "fine-tuned"):
        assert text in said.out, text
    told = json.loads(porl("policy", "show", folder / "000002", "--json").out)
    assert told["verified"]
    assert told["manifest"]["contract"]["control_rate"]
    assert told["tensors"]["layers.2.bias"] == [3]
    replace(folder / "000002" / WEIGHTS, (folder / "000001" / WEIGHTS).read_bytes())
    assert "damaged or exchanged" in porl.fails("policy", "show", folder / "000002")


def test_names_are_there_in_a_narrow_terminal(porl, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    said = porl("policy", "show", folder / "000002")
    for name in ("weights_sha256", "contract_hash", "exploration_std"):
        assert f"│ {name} " in said.out, said.out


def test_diff(porl, folder, store, config, tmp_path):
    said = porl("policy", "diff", folder / "000001", folder / "000002")
    assert said.code == 0
    assert "actions on 1000 random observations" in said.out
    told = json.loads(porl("policy", "diff", folder / "000001", folder / "000002", "--json").out)
    assert told["manifest"]["version"] == [1, 2]
    assert "weights_sha256" in told["manifest"]
    assert told["actions"]["from"] == "random"
    ours, theirs = (load_bundle(folder / name).actor for name in ("000001", "000002"))
    distance = (theirs.layers[0].weight - ours.layers[0].weight).norm().item()
    assert told["weights"]["layers.0.weight"]["distance"] == pytest.approx(distance, rel=1e-5)
    said = porl("policy", "diff", folder / "000001", folder / "000002", "--store", store, "--json")
    told = json.loads(said.out)["actions"]
    assert (told["observations"], told["from"]) == (20, "recorded")
    assert 0.0 < max(told["mean"].values()) <= told["largest"] <= 2.0

    shutil.copytree(folder / "000001", tmp_path / "copy")
    told = json.loads(porl("policy", "diff", folder / "000001", tmp_path / "copy", "--json").out)
    assert told["manifest"] == {}
    assert told["actions"]["largest"] == 0.0
    actor = Actor(15, 3, (9,))
    save_bundle(
        tmp_path / "wide", actor, config.contract, made_by="x", version=9, exploration_std=0.1
    )
    line = porl.fails("policy", "diff", folder / "000001", tmp_path / "wide")
    assert "layers.0.bias: (8,) in" in line


def test_diff_of_contracts_names_the_field(porl, folder, config, tmp_path):
    contract = config.model_dump(mode="json")
    contract["control_rate"] = 5.0
    other = type(config).model_validate(contract)
    write(tmp_path / "other", other, 1)
    told = porl("policy", "diff", folder / "000001", tmp_path / "other", "--json").out
    assert json.loads(told)["manifest"]["contract.control_rate"] == ["10.0", "5.0"]


def test_prune(porl, folder, store):
    said = porl("policy", "prune", folder, "--keep", 2, "--dry-run")
    assert re.fullmatch(r"would remove 3 of 5 versions, [\d.]+ kB: 1, 2, 3\n", said.out)
    assert names(folder) == [1, 2, 3, 4, 5]
    replace(folder / "000003" / WEIGHTS, b"damaged")
    told = porl("policy", "prune", folder, "--keep", 2, "--store", store, "--dry-run", "--json").out
    assert json.loads(told)["removed"] == [str(folder / "000001")]
    said = porl("policy", "prune", folder, "--keep", 2, "--protect", 2)
    assert "removed 1 of 5 versions" in said.out
    assert "left alone:" in said.out
    assert names(folder) == [2, 3, 4, 5]
    assert porl("policy", "prune", folder, "--keep", 1).code == 0
    assert names(folder) == [3, 5]
    assert [path.name for path in folder.parent.iterdir() if path.name != "bundles"] == ["base"]
    assert porl("policy", "prune", folder.parent, "--keep", 1).out.startswith("removed 0 of 1")


def test_what_the_learner_goes_on_from_is_not_pruned(porl, folder, config, base, monkeypatch):
    """A real checkpoint beside the folder, of a learner whose newest version is 2."""
    from porl_ros.learning.checkpoint import write_checkpoint
    from porl_ros.learning.config import PorlConfig
    from porl_ros.learning.finetuning import FineTuning

    empty = folder.parent / "none"
    tuning = FineTuning(config, base, empty, empty, PorlConfig(), 0, "cpu")
    state = tuning.state_dict()
    state.books["run"]["version"] = 2
    checkpoint = folder.parent / "checkpoints" / "000000100-000000100"
    write_checkpoint(checkpoint, tuning.made_for, state)
    assert porl("policy", "prune", folder, "--keep", 1).code == 0
    assert names(folder) == [2, 5]
    replace(checkpoint / "state.json", b"{}")
    line = porl.fails("policy", "prune", folder, "--keep", 1)
    assert "state.json: is not the one that checkpoint.json names" in line


def test_bundles_may_only_be_read(folder):
    modes = [stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()]
    assert len(modes) == 10
    assert not any(mode & 0o222 for mode in modes)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["show"], "Missing argument"),
        (["diff", "a"], "Missing argument"),
        (["prune", "a", "--keep", "0"], "--keep"),
        (["prune", "a", "--protect", "new"], "--protect"),
        (["rm"], "No such command"),
    ],
)
def test_wrong_usage_is_told_and_exits_with_2(porl, arguments, complaint):
    said = porl("policy", *arguments)
    assert said.code == 2
    assert complaint in said.err
