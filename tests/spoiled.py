"""Folders of JSON and safetensors, spoiled in every way: by accident, and by somebody who knows.

PORL_FUZZ_CASES=1000 pytest tests/policy/test_bundle_fuzz.py tests/learning/test_checkpoint_fuzz.py
"""

import json
import os
import pickle
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

CASES = int(os.environ.get("PORL_FUZZ_CASES", "75"))
MEMORY = 256 * 2**20  # bytes that reading a spoiled folder may take, at most

Files = dict[str, bytes]
NASTY = [
    None, True, -1, 0, 1, 2**31, 2**53 + 1, 2**64, -(2**70), 10**400, 1e308, float("nan"),
    float("inf"), "", "x", "../../etc/passwd", "\0", "0" * 64, "nan", [], {}, [[]], {"a": {}},
    [0] * 1000, [[0, 2**53]], {"": None}, [None], "\ud7ff", "1" * 100_000,
]  # fmt: skip


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, marker: Path):
        self._marker = marker

    def __reduce__(self):
        return (Path.touch, (self._marker,))


class Spoiler:
    """Spoils a folder of files, of which `index` names the hashes of the others. Seeded.

    `rehash(files)` makes the hashes right again, as an attacker would.
    """

    def __init__(self, index: str, other: Files, rehash: Callable[[Files], None], marker: Path):
        self._rng, self._index, self._other = random.Random(0), index, other
        self._rehash, self._marker = rehash, marker

    def spoil(self, folder: Path, files: Files) -> str:
        """Write the files to a new folder, spoiled in one way; which."""
        ways = [
            self._flip, self._cut, self._lengthen, self._swap, self._header, self._json,
            self._json, self._tensors, self._tensors, self._pickle, self._nest, self._many_tensors,
        ]  # fmt: skip
        way, spoiled, name = self._rng.choice(ways), dict(files), self._pick(files)
        said = way(spoiled, name)
        if self._rng.random() < 0.7:
            said += ", rehashed"
            try:
                self._rehash(spoiled)
            except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
                said += " in vain"
        folder.mkdir()
        for each, content in spoiled.items():
            (folder / each).write_bytes(content)
        if self._rng.random() < 0.15:
            said += self._special(folder / name)
        return f"{name}: {said}"

    def _pick(self, files: Files, ending: str = "") -> str:
        return self._rng.choice(sorted(name for name in files if name.endswith(ending)))

    def _flip(self, files: Files, name: str) -> str:
        content = bytearray(files[name])
        for _ in range(self._rng.choice([1, 1, 5, 100])):
            content[self._rng.randrange(len(content))] = self._rng.randrange(256)
        files[name] = bytes(content)
        return "flipped"

    def _cut(self, files: Files, name: str) -> str:
        at = self._rng.choice([0, 4, 8, 9, self._rng.randrange(len(files[name]))])
        files[name] = files[name][:at]
        return f"cut at {at}"

    def _lengthen(self, files: Files, name: str) -> str:
        files[name] += self._rng.randbytes(self._rng.choice([1, 8, 100_000]))
        return "lengthened"

    def _swap(self, files: Files, name: str) -> str:
        files[name] = self._other[self._pick(self._other)]
        return "swapped"

    def _header(self, files: Files, name: str) -> str:
        claimed = self._rng.choice([0, 2**20 + 1, 2**27, 2**40, 2**63, 2**64 - 1])
        files[name] = claimed.to_bytes(8, "little") + files[name][8:]
        return f"header of {claimed}"

    def _json(self, files: Files, name: str) -> str:
        """Something else in the place of any value."""
        name = self._pick(files, ".json")
        content = json.loads(files[name])
        at, path = content, []
        while True:
            key = self._rng.choice(list(at) if isinstance(at, dict) else range(len(at)))
            path.append(str(key))
            if not isinstance(at[key], dict | list) or not at[key] or self._rng.random() < 0.2:
                break
            at = at[key]
        at[key] = self._rng.choice(NASTY)
        files[name] = json.dumps(content).encode()
        return f"{name} {'.'.join(path)} = {str(at[key])[:40]}"

    def _tensors(self, files: Files, name: str) -> str:
        name = self._pick(files, ".safetensors")
        tensors = load_tensors(files[name])
        which = self._rng.choice(sorted(tensors))
        tensor = tensors[which]
        way = self._rng.randrange(7)
        if way == 0:
            del tensors[which]
        elif way == 1:
            tensors[f"extra.{which}"] = tensor.clone()
        elif way == 2:
            tensors[which] = torch.full(tensor.shape, float("nan"))
        elif way == 3:
            tensors[which] = tensor.to(self._rng.choice([torch.float64, torch.int8, torch.bool]))
        elif way == 4:
            tensors[which] = torch.zeros([*tensor.shape, 0])
        elif way == 5:
            tensors[which] = torch.zeros(self._rng.choice([(), (1,), (7, 7), (1, 1, 1, 1, 1)]))
        else:
            tensors[which] = -torch.ones(tensor.shape, dtype=tensor.dtype) * 10
        files[name] = save_tensors(tensors)
        return f"{name} {which}, way {way}"

    def _pickle(self, files: Files, name: str) -> str:
        files[name] = pickle.dumps(Bomb(self._marker))
        return "a pickle"

    def _nest(self, files: Files, name: str) -> str:
        files[name] = b'{"a":' * 100_000 + b"1" + b"}" * 100_000
        return "nested"

    def _many_tensors(self, files: Files, name: str) -> str:
        """A header that claims many tensors, or one that overlaps itself."""
        one = {"dtype": self._rng.choice(["F32", "F4", "X"]), "shape": [0], "data_offsets": [0, 0]}
        header = {f"t{i}": one for i in range(self._rng.choice([1, 10_000]))}
        header["big"] = {"dtype": "F32", "shape": [2**40, 2**40], "data_offsets": [0, 2**40]}
        text = json.dumps(header).encode()
        name = self._pick(files, ".safetensors")
        files[name] = len(text).to_bytes(8, "little") + text
        return f"{name} with {len(header)} claims"

    def _special(self, path: Path) -> str:
        """In its place something that is no file, or far too large a one."""
        path.unlink()
        way = self._rng.randrange(6)
        if way == 0:
            path.mkdir()
        elif way == 1:
            os.mkfifo(path)
        elif way == 2:
            path.symlink_to("/dev/zero")
        elif way == 3:
            path.symlink_to(path)
        elif way == 4:
            with open(path, "wb") as file:
                file.truncate(2**40)  # sparse: takes no room
        return f", special {way}"


@contextmanager
def bounded_memory() -> Iterator[None]:
    """Fails when the process takes much more in between, if only for a moment."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = _status("VmRSS")
    yield
    assert _status("VmHWM") - before < MEMORY


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def read_files(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
