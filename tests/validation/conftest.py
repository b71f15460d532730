"""A small bundle, a site key and an audit log of the test's own."""

from pathlib import Path

import pytest
import torch

from porl_ros.policy.bundle import save_bundle
from porl_ros.policy.network import Actor
from porl_ros.robot.observation import ObservationAssembler, action_names


@pytest.fixture(autouse=True)
def _own_site(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "site" / "site.key"))
    monkeypatch.setenv("PORL_AUDIT_LOG", str(tmp_path / "site" / "audit.jsonl"))


@pytest.fixture
def bundle(tmp_path, config) -> Path:
    """Random weights for the shipped robot; its files may be changed."""
    torch.manual_seed(0)
    actor = Actor(ObservationAssembler(config).size, len(action_names(config)), (8,))
    path = tmp_path / "policy"
    save_bundle(path, actor, config.contract, made_by="a test", version=3, exploration_std=0.1)
    for file in path.iterdir():
        file.chmod(0o644)
    return path
