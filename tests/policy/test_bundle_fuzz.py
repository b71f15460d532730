"""Bundles spoiled in every way are refused by name, and nothing in them is ever executed."""

import hashlib
import json
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Condition

import numpy as np
import pytest
import torch
from bundles import make_actor, make_bundle
from spoiled import CASES, Files, Spoiler, bounded_memory, read_files

from porl_ros.errors import PorlError
from porl_ros.policy.bundle import MANIFEST, WEIGHTS, BundleError, load_bundle
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.policy.swapping import BundleLoader
from porl_ros.robot.contract import contract_hash


def rehash(files: Files) -> None:
    manifest = json.loads(files[MANIFEST])
    manifest["weights_sha256"] = hashlib.sha256(files[WEIGHTS]).hexdigest()
    manifest["contract_hash"] = contract_hash(manifest["contract"])
    files[MANIFEST] = json.dumps(manifest).encode()


def test_spoiled_bundles(tmp_path, config):
    make_bundle(tmp_path / "good", config)
    make_bundle(tmp_path / "other", config, make_actor(1, hidden=(4,)), version=2)
    files, marker = read_files(tmp_path / "good"), tmp_path / "marker"
    spoiler = Spoiler(MANIFEST, read_files(tmp_path / "other"), rehash, marker)
    refused: list[tuple[str, str]] = []
    with bounded_memory():
        for _ in range(CASES):
            path = tmp_path / "spoiled"
            said = spoiler.spoil(path, files)
            try:
                bundle = load_bundle(path, config)
            except PorlError as error:
                refused.append((said, str(error)))
            else:  # what was changed means nothing, or is another policy in its own right
                assert all(torch.isfinite(t).all() for t in bundle.actor.state_dict().values())
                assert bundle.actor.for_control()(np.zeros(15, np.float32)).shape == (3,)
            shutil.rmtree(path)
    assert not marker.exists()
    assert [one for one in refused if str(path) not in one[1]] == []
    assert len(refused) > 0.75 * CASES


def test_the_old_policy_goes_on(tmp_path, config):
    """Through the loader of the running node: each spoiled bundle is refused, and said so."""
    make_bundle(tmp_path / "0", config, version=0)
    runtime = PolicyRuntime(config)
    runtime.swap(runtime.load(tmp_path / "0"))
    make_bundle(tmp_path / "good", config, version=50_000)
    files = read_files(tmp_path / "good")
    files[MANIFEST] = files[MANIFEST].replace(b'"weights_sha256": "', b'"weights_sha256": "0')
    heard: list[Exception | None] = []
    done = Waiter(lambda: len(heard))
    spoiler = Spoiler(MANIFEST, files, lambda files: None, tmp_path / "marker")
    with ThreadPoolExecutor(1) as thread:
        loader = BundleLoader(runtime, thread, done.wake, heard.append)
        for number in range(1, 31):
            spoiler.spoil(tmp_path / str(number), files)
            loader.request(tmp_path / str(number))
            done.wait_for(number)
            assert loader.newest(above=0) is None
            assert loader.swap_to(number)  # nobody waits for it
            assert runtime.version == 0
    assert all(isinstance(error, PorlError) for error in heard)


class Waiter:
    """Waits for a thread to have come so far, with a bound."""

    def __init__(self, count):
        self._count, self._condition = count, Condition()

    def wake(self) -> None:
        with self._condition:
            self._condition.notify_all()

    def wait_for(self, number: int) -> None:
        with self._condition:
            assert self._condition.wait_for(lambda: self._count() >= number, 30.0)


def test_a_pipe_does_not_hang_the_loader(tmp_path, config):
    """Opening one that nobody writes to would wait for ever."""
    make_bundle(tmp_path / "a", config)
    Path(tmp_path / "a" / WEIGHTS).unlink()
    os.mkfifo(tmp_path / "a" / WEIGHTS)
    with pytest.raises(BundleError, match="it is not a file"):
        load_bundle(tmp_path / "a", config)
