"""Bundles come back as they were written, are never overwritten, and refuse other contracts."""

import json
import os
import stat

import pytest
import torch
from bundles import make_actor, make_bundle

from porl_ros.errors import ContractMismatch
from porl_ros.policy.bundle import MANIFEST, WEIGHTS, BundleError, load_bundle
from porl_ros.policy.network import Actor
from porl_ros.policy.saturation import saturation, saturation_warning
from porl_ros.robot.config import RobotConfig


def test_round_trip(tmp_path, config):
    actor = make_actor()
    written = make_bundle(tmp_path / "a", config, actor, parent="p", env_steps=7, gradient_steps=9)
    bundle = load_bundle(tmp_path / "a", config)
    assert bundle.manifest == written
    assert bundle.manifest.contract == config.contract
    assert (bundle.manifest.parent, bundle.manifest.env_steps) == ("p", 7)
    assert set(bundle.manifest.packages) >= {"torch", "numpy", "mujoco"}
    for name, tensor in actor.state_dict().items():
        assert torch.equal(bundle.actor.state_dict()[name], tensor)


def test_what_is_loaded_can_be_trained(tmp_path, config):
    make_bundle(tmp_path / "a", config)
    actor = load_bundle(tmp_path / "a").actor
    actor(torch.randn(4, 15)).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in actor.parameters())


def test_a_folder_holds_two_files_and_no_rest(tmp_path, config):
    make_bundle(tmp_path / "deep" / "a", config)
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"a"}
    assert {p.name for p in (tmp_path / "deep" / "a").iterdir()} == {MANIFEST, WEIGHTS}
    json.loads((tmp_path / "deep" / "a" / MANIFEST).read_text())


@pytest.mark.parametrize(
    ("umask", "files", "folder"), [(0o022, 0o444, 0o755), (0o027, 0o440, 0o750)]
)
def test_files_may_only_be_read_by_whom_the_umask_says(tmp_path, config, umask, files, folder):
    before = os.umask(umask)
    try:
        make_bundle(tmp_path / "a", config)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(p.stat().st_mode) for p in (tmp_path / "a").iterdir()} == {files}
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == folder


def test_a_disk_that_takes_nothing_leaves_nothing(tmp_path, config):
    (tmp_path / "a").write_text("no folder")
    with pytest.raises(OSError, match="Not a directory|File exists"):
        make_bundle(tmp_path / "a" / "b", config)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_nothing_is_overwritten(tmp_path, config):
    make_bundle(tmp_path / "a", config)
    before = (tmp_path / "a" / WEIGHTS).read_bytes()
    with pytest.raises(BundleError, match="never overwritten; choose another path"):
        make_bundle(tmp_path / "a", config, make_actor(seed=1))
    assert (tmp_path / "a" / WEIGHTS).read_bytes() == before
    (tmp_path / "b").write_text("mine")
    with pytest.raises(BundleError, match="exists already"):
        make_bundle(tmp_path / "b", config)


def test_a_diverged_policy_is_not_written(tmp_path, config):
    actor = make_actor()
    torch.nn.init.constant_(actor.layers[0].bias, torch.nan)
    with pytest.raises(BundleError, match="not written: the policy holds values"):
        make_bundle(tmp_path / "a", config, actor)
    assert list(tmp_path.iterdir()) == []


def test_another_contract_is_refused_by_the_field_that_differs(tmp_path, config):
    contract = config.model_dump(mode="json")
    contract["action"]["scale"] = 0.02
    other = RobotConfig.model_validate(contract)
    make_bundle(tmp_path / "a", other)
    with pytest.raises(ContractMismatch, match=r"action.scale: here 0.012, there 0.02"):
        load_bundle(tmp_path / "a", config)
    load_bundle(tmp_path / "a", other)


def test_another_cell_is_no_other_contract(tmp_path, config):
    make_bundle(tmp_path / "a", config)
    content = config.model_dump(mode="json") | {"name": "second"}
    content["simulation"]["variant"] = "calibrated"
    load_bundle(tmp_path / "a", RobotConfig.model_validate(content))


def test_sizes_must_be_those_of_the_contract(tmp_path, config):
    make_bundle(tmp_path / "a", config, Actor(14, 3, (8,)))
    with pytest.raises(BundleError, match="14, 3; the contract has 15, 3"):
        load_bundle(tmp_path / "a", config)


def test_saturation_is_the_share_outside_of_the_box():
    actor = Actor(1, 2, ())
    with torch.no_grad():
        actor.layers[0].weight.copy_(torch.tensor([[1.0], [0.0]]))
        actor.layers[0].bias.zero_()
    observations = torch.tensor([[0.5], [2.0], [-3.0], [0.0]]).numpy()
    assert saturation(actor, observations).tolist() == [0.5, 0.0]
    assert not saturation_warning({"x": 0.5, "y": 0.0}, "the data")
    assert "x (60%)" in saturation_warning({"x": 0.6, "y": 0.0}, "the data")
