"""A policy that makes no sense where the robot has just been does not come to act."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Condition, get_ident

import numpy as np
import pytest
import torch
from bundles import make_actor, make_bundle

from porl_ros.policy.network import Actor
from porl_ros.policy.runtime import RECENT, PolicyRuntime
from porl_ros.policy.sanity import InsanePolicy
from porl_ros.policy.swapping import BundleLoader

SWAPS = 60


def shifted(bias: float, scale: float = 1.0) -> Actor:
    """All of whose outputs lie around `bias`."""
    actor = make_actor(1)
    with torch.no_grad():
        actor.layers[-1].weight.mul_(scale)
        actor.layers[-1].bias.fill_(bias)
    return actor


@pytest.fixture
def runtime(tmp_path, config) -> PolicyRuntime:
    make_bundle(tmp_path / "0", config, shifted(0.0, 0.1), version=0)
    runtime = PolicyRuntime(config, explore=False)
    runtime.swap(runtime.load(tmp_path / "0"))
    return runtime


def act(runtime: PolicyRuntime, times: int, size: float = 1.0) -> None:
    rng = np.random.default_rng(0)
    for _ in range(times):
        runtime.act((size * rng.standard_normal(15)).astype(np.float32))


def overflowing() -> Actor:
    """Whose weights are finite, unlike what comes of them."""
    actor = shifted(0.0, 1e30)
    with torch.no_grad():
        actor.layers[0].weight.mul_(1e30)
    return actor


INSANE = {
    "overflow": (overflowing, "outputs are not finite for [0-9]+ of 50 recently"),
    "far away": (lambda: shifted(-30.0), "asks for 3[0-9.]+ times the action box"),
    "all at the border": (lambda: shifted(2.0, 0.0), "every output is at the border .* all 50"),
}


@pytest.mark.parametrize("kind", INSANE)
def test_it_is_refused_by_what_it_would_have_done(runtime, tmp_path, config, kind):
    make, told = INSANE[kind]
    make_bundle(tmp_path / "1", config, make(), version=1)
    act(runtime, 50)
    with pytest.raises(InsanePolicy, match=told) as caught:
        runtime.load(tmp_path / "1")
    assert str(tmp_path / "1") in str(caught.value)
    assert runtime.version == 0


def test_what_one_cannot_know_is_not_judged(runtime, tmp_path, config):
    make_bundle(tmp_path / "1", config, shifted(2.0, 0.0), version=1)
    assert runtime.load(tmp_path / "1")[0].manifest.version == 1  # nothing was seen yet
    act(runtime, 5)
    runtime.swap(runtime.load(tmp_path / "0"))


def test_a_base_that_is_always_at_the_border_may_stay_there(tmp_path, config):
    make_bundle(tmp_path / "0", config, shifted(1.5, 0.0), version=0)
    make_bundle(tmp_path / "1", config, shifted(-1.5, 0.0), version=1)
    runtime = PolicyRuntime(config, explore=False)
    runtime.swap(runtime.load(tmp_path / "0"))
    act(runtime, 50)
    assert runtime.load(tmp_path / "1")[0].manifest.version == 1


def test_only_the_recent_counts(runtime, tmp_path, config):
    make_bundle(tmp_path / "1", config, shifted(0.0, 5.0), version=1)
    act(runtime, RECENT, size=1000.0)
    with pytest.raises(InsanePolicy):
        runtime.load(tmp_path / "1")
    act(runtime, RECENT, size=0.1)
    assert runtime.load(tmp_path / "1")[0].manifest.version == 1


class Control:
    """Acts all the time, as the control thread does, and swaps in what is ready."""

    def __init__(self, runtime: PolicyRuntime, thread: ThreadPoolExecutor):
        self._runtime, self._heard = runtime, Condition()
        self.told: list[tuple[int, str]] = []  # by which thread, and what
        self.loader = BundleLoader(runtime, thread, self._on_loaded, self._on_refused)
        self.read = 0

    def _on_loaded(self) -> None:
        with self._heard:
            self.read += 1
            self._heard.notify_all()

    def _on_refused(self, error: Exception) -> None:
        self.told.append((get_ident(), str(error)))

    def await_reading(self, count: int) -> None:
        with self._heard:
            assert self._heard.wait_for(lambda: self.read >= count, 30.0)

    def tick(self) -> float:
        """A step; the CPU seconds that swapping took of this thread, which others do not change."""
        act(self._runtime, 1)
        begun = time.thread_time()
        if newest := self.loader.newest(above=self._runtime.version):
            self._runtime.swap(newest)
        return time.thread_time() - begun


@pytest.fixture
def control(runtime) -> Iterator[Control]:
    with ThreadPoolExecutor(1) as thread:
        yield Control(runtime, thread)


def test_judged_by_the_thread_that_loads_and_the_old_policy_acts_on(
    runtime, control, tmp_path, config
):
    make_bundle(tmp_path / "1", config, shifted(-30.0), version=1)
    make_bundle(tmp_path / "2", config, shifted(0.1, 0.1), version=2)
    control.tick()
    control.loader.request(tmp_path / "1")
    control.await_reading(1)
    control.tick()
    ((thread, told),) = control.told
    assert thread != get_ident()
    assert "refused before it may act" in told
    assert runtime.version == 0
    assert control.loader.swap_to(1)  # nobody waits for it
    control.loader.request(tmp_path / "2")
    control.await_reading(2)
    control.tick()
    assert runtime.version == 2


def test_many_swaps_take_the_control_thread_no_time(runtime, control, tmp_path, config):
    """What takes time is done beside it. Versions rise."""
    versions, spent = [], []
    for version in range(1, SWAPS + 1):
        make_bundle(tmp_path / "b" / f"{version:06d}", config, shifted(0.0, 0.1), version=version)
        control.loader.request(tmp_path / "b" / f"{version:06d}")
        spent.append(control.tick())
        versions.append(runtime.version)
    control.await_reading(SWAPS)
    control.tick()
    assert runtime.version == SWAPS
    assert versions == sorted(versions)
    assert len(set(versions)) > 10
    assert np.quantile(spent, 0.99) < 0.001
