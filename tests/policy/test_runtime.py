"""Serving: the same function with and without torch, exploration, and swapping between steps."""

import numpy as np
import pytest
import torch
from bundles import make_actor, make_bundle

from porl_ros.errors import ConfigError, ContractMismatch
from porl_ros.policy.bundle import BundleError
from porl_ros.policy.network import Actor, NumpyActor, TorchActor
from porl_ros.policy.runtime import PolicyRuntime, resolve_device
from porl_ros.robot.config import RobotConfig

OBSERVATION = np.linspace(-1, 1, 15, dtype=np.float32)
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device")


@pytest.fixture
def runtime(tmp_path, config):
    """Serves version 1, without noise; version 2 lies beside it."""
    make_bundle(tmp_path / "1", config, make_actor(1), version=1, exploration_std=0.3)
    make_bundle(tmp_path / "2", config, make_actor(2), version=2, exploration_std=0.0)
    runtime = PolicyRuntime(config, explore=False)
    runtime.swap(runtime.load(tmp_path / "1"))
    return runtime


def mean(actor: Actor) -> np.ndarray:
    with torch.no_grad():
        return actor(torch.from_numpy(OBSERVATION).unsqueeze(0))[0].numpy()


@pytest.mark.parametrize("hidden", [(), (7,), (64, 64), (8,) * 6])
def test_numpy_and_torch_agree(hidden):
    actor, rng = make_actor(hidden=hidden), np.random.default_rng(0)
    fast, slow = NumpyActor(actor), TorchActor(actor, "cpu")
    for observation in rng.normal(0, 2, (50, 15)).astype(np.float32):
        action = fast(observation)
        assert action.dtype == np.float32
        assert np.allclose(action, slow(observation), atol=1e-6)


def test_the_numpy_actor_is_a_copy():
    actor = make_actor()
    fast, before = NumpyActor(actor), mean(actor)
    with torch.no_grad():
        for parameter in actor.parameters():
            parameter.zero_()
    assert np.allclose(fast(OBSERVATION), before, atol=1e-6)


def test_swapping(runtime, tmp_path):
    assert runtime.version == 1
    loaded = runtime.load(tmp_path / "2")
    assert runtime.version == 1  # loading alone changes nothing
    assert np.allclose(runtime.act(OBSERVATION), mean(make_actor(1)), atol=1e-6)
    runtime.swap(loaded)
    assert runtime.version == runtime.bundle.manifest.version == 2
    assert np.allclose(runtime.act(OBSERVATION), mean(make_actor(2)), atol=1e-6)


def test_what_cannot_be_loaded_leaves_the_old_one_acting(runtime, tmp_path, config):
    contract = config.model_dump(mode="json") | {"control_rate": 20.0}
    make_bundle(tmp_path / "other", RobotConfig.model_validate(contract))
    with pytest.raises(ContractMismatch, match="control_rate"):
        runtime.load(tmp_path / "other")
    with pytest.raises(BundleError):
        runtime.load(tmp_path / "gone")
    assert runtime.version == 1
    assert np.allclose(runtime.act(OBSERVATION), mean(make_actor(1)), atol=1e-6)


def actions(config, path, seed: int, count: int) -> np.ndarray:
    runtime = PolicyRuntime(config, seed=seed)
    runtime.swap(runtime.load(path))
    return np.array([runtime.act(OBSERVATION) for _ in range(count)])


def test_exploration_has_the_std_of_the_bundle(runtime, tmp_path, config):
    seen = actions(config, tmp_path / "1", seed=0, count=4000)
    assert seen.dtype == np.float32
    assert np.allclose(seen.mean(0), mean(make_actor(1)), atol=0.03)
    assert np.allclose(seen.std(0), 0.3, atol=0.02)
    assert np.ptp(actions(config, tmp_path / "2", seed=0, count=5), axis=0).max() == 0.0


def test_exploration_is_seeded(runtime, tmp_path, config):
    first = actions(config, tmp_path / "1", seed=3, count=10)
    assert np.array_equal(first, actions(config, tmp_path / "1", seed=3, count=10))
    assert not np.array_equal(first, actions(config, tmp_path / "1", seed=4, count=10))


def test_devices_by_name():
    assert resolve_device("cpu") == "cpu"
    assert resolve_device("auto") in ("cpu", "cuda")
    with pytest.raises(ConfigError, match="device = 'tpu': must be auto, cpu or cuda"):
        resolve_device("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_gpu_is_an_error_and_not_a_silent_cpu(config):
    with pytest.raises(ConfigError, match="device = 'cuda': torch sees no GPU here; use auto"):
        PolicyRuntime(config, device="cuda")


@needs_gpu
def test_a_gpu_gives_the_same_actions(tmp_path, config):
    make_bundle(tmp_path / "a", config, make_actor(1))
    on_gpu = PolicyRuntime(config, device="cuda", explore=False)
    on_gpu.swap(on_gpu.load(tmp_path / "a"))
    assert np.allclose(on_gpu.act(OBSERVATION), mean(make_actor(1)), atol=1e-4)
