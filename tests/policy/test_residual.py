"""A correction begins as nothing, stays within its bound, and travels in bundles."""

import json

import numpy as np
import pytest
import torch
from bundles import SIZES, edit_weights, make_actor, unlock

from porl_ros.policy.bundle import MANIFEST, BundleError, load_bundle, save_bundle
from porl_ros.policy.network import Actor
from porl_ros.policy.residual import BlackBox, ResidualActor
from porl_ros.policy.runtime import PolicyRuntime


def shaken(actor: ResidualActor) -> ResidualActor:
    """As if it had learned: large weights, so that the bound is reached."""
    torch.manual_seed(3)
    for parameter in actor.correction.parameters():
        torch.nn.init.normal_(parameter, std=2.0)
    return actor


def observations(count: int = 200) -> torch.Tensor:
    return torch.randn(count, SIZES[0], generator=torch.Generator().manual_seed(0))


def test_it_begins_as_its_base():
    base = make_actor()
    assert torch.equal(ResidualActor(base, 0.3)(observations()), base(observations()))


def test_the_correction_stays_within_its_scale_whatever_is_learned():
    base = make_actor()
    difference = shaken(ResidualActor(base, 0.3))(observations()) - base(observations())
    assert difference.abs().max() <= 0.3 + 1e-6
    assert difference.abs().max() > 0.29


def test_only_the_correction_is_learned():
    actor = ResidualActor(make_actor(), 0.3)
    actor(observations()).sum().backward()
    assert all(p.grad is None for p in actor.base.parameters())
    assert actor.correction.layers[-1].weight.grad.abs().sum() > 0


def test_in_numpy_it_is_the_same_function():
    actor = shaken(ResidualActor(make_actor(), 0.3))
    act = actor.for_control()
    for observation in observations(20):
        expected = actor(observation[None])[0].detach().numpy()
        np.testing.assert_allclose(act(observation.numpy()), expected, atol=1e-5)


def test_it_travels_in_a_bundle(tmp_path, config):
    actor = shaken(ResidualActor(make_actor(), 0.3, (8,)))
    fields = {"made_by": "a test", "version": 3, "exploration_std": 0.0}
    save_bundle(tmp_path / "b", actor, config.contract, **fields)
    loaded = load_bundle(tmp_path / "b", config)
    assert torch.equal(loaded.actor(observations()), actor(observations()))
    assert loaded.manifest.residual.scale == 0.3
    assert not any(p.requires_grad for p in loaded.actor.base.parameters())
    runtime = PolicyRuntime(config)
    runtime.swap(runtime.load(tmp_path / "b"))
    observation = observations(1)[0]
    expected = actor(observation[None])[0].detach().numpy()
    np.testing.assert_allclose(runtime.act(observation.numpy()), expected, atol=1e-5)


@pytest.mark.parametrize("scale", [0.0, -1.0, 3.0, None])
def test_a_bundle_with_another_scale_is_refused(tmp_path, config, scale):
    actor = ResidualActor(make_actor(), 0.3, (8,))
    fields = {"made_by": "a test", "version": 3, "exploration_std": 0.0}
    save_bundle(tmp_path / "b", actor, config.contract, **fields)
    unlock(tmp_path / "b")
    manifest = json.loads((tmp_path / "b" / MANIFEST).read_text())
    manifest["residual"]["scale"] = scale
    (tmp_path / "b" / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BundleError, match="residual.scale"):
        load_bundle(tmp_path / "b", config)


def test_a_standard_deviation_of_0_is_refused_in_the_correction_too(tmp_path, config):
    actor = ResidualActor(make_actor(), 0.3, (8,))
    fields = {"made_by": "a test", "version": 3, "exploration_std": 0.0}
    save_bundle(tmp_path / "b", actor, config.contract, **fields)
    edit_weights(tmp_path / "b", lambda tensors: tensors["correction.std"].zero_())
    with pytest.raises(BundleError, match="correction.std holds values that are not above 0"):
        load_bundle(tmp_path / "b", config)


def test_any_callable_can_be_corrected_but_not_bundled(tmp_path, config):
    def scripted(observation: np.ndarray) -> np.ndarray:
        return np.sign(observation[:, : SIZES[1]]) * 2.0

    box = BlackBox(scripted, np.zeros(SIZES[0]), np.ones(SIZES[0]), SIZES[1])
    actor = ResidualActor(box, 0.2)
    assert torch.equal(actor(observations()), observations()[:, : SIZES[1]].sign())
    act = shaken(actor).for_control()
    for observation in observations(10):
        expected = actor(observation[None])[0].detach().numpy()
        np.testing.assert_allclose(act(observation.numpy()), expected, atol=1e-5)
    with pytest.raises(BundleError, match="BlackBox"):
        save_bundle(tmp_path / "b", actor, config.contract, made_by="", version=1)


@pytest.mark.parametrize("scale", [0.0, -0.1, 2.1, float("nan")])
def test_a_scale_must_make_sense(scale):
    with pytest.raises(ValueError, match="scale"):
        ResidualActor(Actor(*SIZES), scale)
