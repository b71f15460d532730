"""Going back takes effect at once, from memory, and stale bundles do not undo it."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from bundles import make_actor, make_bundle

from porl_ros.policy.fallback import Fallback
from porl_ros.policy.guard import WINDOW, NoRegretGuard
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.policy.swapping import BundleLoader


@pytest.fixture
def runtime(tmp_path, config) -> PolicyRuntime:
    for version in range(41):
        make_bundle(tmp_path / str(version), config, make_actor(version), version=version)
    runtime = PolicyRuntime(config)
    runtime.swap(runtime.load(tmp_path / "0"))
    return runtime


def act(fallback: Fallback, runtime, folder, versions, success: bool):
    """An episode with each version, swapped in as a learner's bundle would be."""
    for version in versions:
        runtime.swap(runtime.load(folder / str(version)))
        fallback.keep()
        if verdict := fallback.episode_ended(version, success):
            return verdict
    return None


def test_it_goes_back_without_the_disk(runtime, tmp_path):
    fallback = Fallback(runtime, NoRegretGuard())
    for _ in range(10):
        fallback.episode_ended(0, True)
    base = runtime.loaded
    for version in range(1, 41):
        loaded = runtime.load(tmp_path / str(version))
        shutil.rmtree(tmp_path / str(version))  # as if it were pruned
        runtime.swap(loaded)
        fallback.keep()
        if verdict := fallback.episode_ended(version, False):
            break
    assert verdict.version == 0
    assert runtime.loaded == base
    assert fallback.returns == 1


def test_the_best_known_policy_is_kept_however_many_follow(runtime, tmp_path):
    fallback = Fallback(runtime, NoRegretGuard())
    for i in range(30):
        fallback.episode_ended(0, i % 3 == 0)
    assert act(fallback, runtime, tmp_path, range(1, WINDOW + 1), success=True) is None
    best = fallback.guard.best
    verdict = None
    for _ in range(5):
        verdict = verdict or act(fallback, runtime, tmp_path, range(WINDOW + 1, 41), success=False)
    assert verdict.version == best == runtime.version
    assert len(fallback._kept) <= WINDOW + 2


def test_bundles_from_before_the_return_are_passed_over(runtime, tmp_path, config):
    make_bundle(tmp_path / "new", config, version=50, returns={"arm": 1})
    with ThreadPoolExecutor(1) as thread:
        stale = lambda manifest: manifest.returns.get("arm", 0) < 1  # noqa: E731
        loader = BundleLoader(runtime, thread, is_stale=stale)
        loader.request(tmp_path / "40")
        loader.request(tmp_path / "new")
    assert loader.swap_to(40)  # dealt with, but
    assert runtime.version == 0
    assert loader.swap_to(50)
    assert runtime.version == 50


def test_what_failed_its_trial_is_never_gone_back_to(runtime, tmp_path):
    fallback = Fallback(runtime, NoRegretGuard())
    for i in range(30):
        fallback.episode_ended(0, i % 3 == 0)
    act(fallback, runtime, tmp_path, range(1, WINDOW + 1), success=True)
    best = fallback.guard.best
    fallback.withdraw(best)
    assert fallback.guard.best is None
    assert best not in fallback.guard.keepers
    assert fallback.returns == 1
