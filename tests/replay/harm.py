"""Random harm to files."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

CASES = int(os.environ.get("PORL_REPLAY_DAMAGES", "150"))


def files_of(store: Path) -> list[Path]:
    return sorted(path for path in store.rglob("*") if path.is_file())


def harm(path: Path, random: np.random.Generator) -> str:
    """Do one kind of harm to a file; which kind."""
    data = bytearray(path.read_bytes())
    kind = str(random.choice(["flip", "truncate", "zero", "remove", "extend", "swap"]))
    at = int(random.integers(max(1, len(data))))
    if kind == "remove":
        path.unlink()
        return kind
    if kind == "flip" and data:
        data[at] ^= 1 << int(random.integers(8))
    elif kind == "truncate":
        del data[at:]
    elif kind == "zero":
        data[at : at + 64] = bytes(len(data[at : at + 64]))
    elif kind == "extend":
        data += random.bytes(40)
    else:
        data[:at] = data[len(data) - at :]
    path.write_bytes(data)
    return kind


@contextlib.contextmanager
def damage(path: Path, random: np.random.Generator) -> Iterator[str]:
    """Harm that is gone again when the block ends."""
    intact = path.read_bytes()
    try:
        yield harm(path, random)
    finally:
        path.write_bytes(intact)
