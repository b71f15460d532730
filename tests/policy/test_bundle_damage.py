"""Every kind of damage to a bundle is a BundleError that says where; nothing else ever escapes."""

import shutil
import struct
import tracemalloc

import pytest
import torch
from bundles import edit_manifest, edit_weights, make_bundle, put_weights, unlock
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save as save_tensors

from porl_ros.errors import ContractMismatch
from porl_ros.policy.bundle import MANIFEST, MAX_FILE_BYTES, WEIGHTS, BundleError, load_bundle


@pytest.fixture
def path(tmp_path, config):
    make_bundle(tmp_path / "a", config)
    unlock(tmp_path / "a")
    return tmp_path / "a"


def flip_a_byte(path):
    content = bytearray((path / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (path / WEIGHTS).write_bytes(content)


def truncate(name, size):
    return lambda path: (path / name).write_bytes((path / name).read_bytes()[:size])


def inflate(name):
    def damage(path):
        with open(path / name, "r+b") as file:
            file.truncate(MAX_FILE_BYTES + 1)  # sparse: takes no room

    return damage


def manifest(**changes):
    return lambda path: edit_manifest(path, **changes)


def without(name):
    return lambda path: edit_weights(path, lambda tensors: tensors.pop(name))


def tensor(name, value):
    return lambda path: edit_weights(path, lambda tensors: tensors.update({name: value}))


def as_folder(name):
    def damage(path):
        (path / name).unlink()
        (path / name).mkdir()

    return damage


def file_instead(path):
    shutil.rmtree(path)
    path.write_text("not a folder")


DEEP = '{"a":' * 5000 + "1" + "}" * 5000
HEADER = struct.pack("<Q", 2**62)
FOREIGN = save_tensors({"embedding": torch.zeros(3)})
DAMAGE = {
    "no folder": (shutil.rmtree, "there is no policy bundle here"),
    "a file instead": (file_instead, "there is no policy bundle here"),
    "no manifest": (lambda p: (p / MANIFEST).unlink(), f"{MANIFEST}: cannot be read: No such file"),
    "no weights": (lambda p: (p / WEIGHTS).unlink(), f"{WEIGHTS}: cannot be read: No such file"),
    "manifest a folder": (as_folder(MANIFEST), "cannot be read"),
    "weights a folder": (as_folder(WEIGHTS), "cannot be read"),
    "flipped byte": (flip_a_byte, "does not match its hash"),
    "cut weights": (truncate(WEIGHTS, 100), "does not match its hash"),
    "empty weights": (truncate(WEIGHTS, 0), "does not match its hash"),
    "cut manifest": (truncate(MANIFEST, 100), "Invalid JSON"),
    "empty manifest": (truncate(MANIFEST, 0), "Invalid JSON"),
    "binary manifest": (lambda p: (p / MANIFEST).write_bytes(b"\xff\0"), "Invalid JSON"),
    "deep manifest": (lambda p: (p / MANIFEST).write_text(DEEP), "Invalid JSON"),
    "a list": (lambda p: (p / MANIFEST).write_text("[]"), "an object"),
    "huge weights": (inflate(WEIGHTS), "is larger than"),
    "huge manifest": (inflate(MANIFEST), "is larger than"),
    "edited contract": (manifest(contract={"control_rate": 5}), "edited or damaged"),
    "NaN contract": (manifest(contract={"control_rate": float("nan")}), "edited or damaged"),
    "huge number": (manifest(contract={"control_rate": 10**400}), "edited or damaged"),
    "edited hash": (manifest(contract_hash="0" * 64), "edited or damaged"),
    "wrong hash": (manifest(weights_sha256="x"), "weights_sha256"),
    "newer format": (manifest(format_version=2), "format_version"),
    "extra key": (manifest(note="hello"), "note: Extra inputs"),
    "negative std": (manifest(exploration_std=-1.0), "exploration_std"),
    "NaN std": (manifest(exploration_std=float("nan")), "exploration_std"),
    "negative version": (manifest(version=-1), "version"),
    "no width": (manifest(hidden=[0]), "hidden.0"),
    "negative width": (manifest(hidden=[-8, 8]), "hidden.0"),
    "claimed width": (manifest(hidden=[65_536] * 8), "does not fit the manifest"),
    "absurd width": (manifest(hidden=[2**70]), "hidden.0"),
    "other widths": (manifest(hidden=[8, 16]), "does not fit the manifest"),
    "other depth": (manifest(hidden=[16]), "does not fit the manifest"),
    "other size": (manifest(observation_size=14), "does not fit the manifest"),
    "foreign weights": (lambda p: put_weights(p, FOREIGN), "does not fit the manifest"),
    "no safetensors": (lambda p: put_weights(p, b"not weights at all"), "does not fit"),
    "absurd header": (lambda p: put_weights(p, HEADER), "does not fit the manifest"),
    "missing tensor": (without("std"), "does not fit the manifest"),
    "extra tensor": (tensor("extra", torch.zeros(1)), "does not fit the manifest"),
    "NaN weights": (tensor("layers.0.bias", torch.full((16,), torch.nan)), "layers.0.bias holds"),
    "infinite mean": (tensor("mean", torch.full((15,), torch.inf)), "mean holds"),
    "std of 0": (tensor("std", torch.zeros(15)), "std holds values that are not above 0"),
    "double": (
        tensor("mean", torch.full((15,), 1e300, dtype=torch.float64)),
        "must be torch.float32",
    ),
    "integers": (tensor("mean", torch.zeros(15, dtype=torch.int32)), "must be torch.float32"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_named(path, config, kind):
    damage, message = DAMAGE[kind]
    damage(path)
    with pytest.raises(BundleError) as caught:
        load_bundle(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    with pytest.raises((BundleError, ContractMismatch)):
        load_bundle(path, config)


def test_a_huge_file_is_not_read(path):
    inflate(WEIGHTS)(path)
    tracemalloc.start()
    with pytest.raises(BundleError):
        load_bundle(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MAX_FILE_BYTES / 10


SHARED = [HealthCheck.function_scoped_fixture]


@given(
    at=st.integers(0, 10_000), byte=st.integers(0, 255), name=st.sampled_from([MANIFEST, WEIGHTS])
)
@settings(max_examples=150, deadline=None, suppress_health_check=SHARED)
def test_any_byte_anywhere_is_harmless(path, config, at, byte, name):
    """It loads as it was, or with a legal other value of the manifest, or is refused."""
    original = (path / name).read_bytes()
    content = bytearray(original)
    content[at % len(content)] = byte
    (path / name).write_bytes(content)
    try:
        load_bundle(path, config)
    except (BundleError, ContractMismatch):
        pass
    finally:
        (path / name).write_bytes(original)


@given(at=st.integers(0, 10_000), byte=st.integers(0, 255))
@settings(max_examples=150, deadline=None, suppress_health_check=SHARED)
def test_any_byte_of_weights_whose_hash_is_right_is_harmless(path, config, at, byte):
    manifest_text, original = (path / MANIFEST).read_bytes(), (path / WEIGHTS).read_bytes()
    content = bytearray(original)
    content[at % len(content)] = byte
    put_weights(path, bytes(content))
    try:
        actor = load_bundle(path, config).actor
        assert torch.isfinite(torch.cat([p.flatten() for p in actor.parameters()])).all()
    except BundleError:
        pass
    finally:
        (path / MANIFEST).write_bytes(manifest_text)
        (path / WEIGHTS).write_bytes(original)
