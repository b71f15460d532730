"""One checkpoint of a learner: a folder of safetensors and JSON, whole or not at all.

`checkpoint.json` names what it was made for and the hash of every other file, so that parts of two
checkpoints are never taken for one. Everything is verified before anything is used.
"""

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field, ValidationError
from torch import Tensor

from porl_ros.configfile import StrictModel
from porl_ros.errors import PorlError
from porl_ros.learning.books import HELD_OUT, Books, State
from porl_ros.policy.files import (
    PRIVATE,
    expected_size,
    pack_tensors,
    read_file,
    unpack_tensors,
    write_folder,
)
from porl_ros.robot.contract import contract_hash, first_difference

FORMAT_VERSION = 2  # 1 knew neither the anchor's books nor where several steps begin
INDEX, BOOKS = "checkpoint.json", "state.json"
DATA = "data"  # the one part whose tensors differ from checkpoint to checkpoint
MAX_JSON = 32 * 2**20
MAX_DATA = 256 * 2**20


class CheckpointError(PorlError):
    """A checkpoint is damaged, or put together from several."""


class CheckpointMismatch(PorlError):
    """A sound checkpoint, but of another run, or of another release."""


class Index(StrictModel):
    """`checkpoint.json`. `sha256` is that of all the rest of it."""

    format_version: int = FORMAT_VERSION
    made_for: dict[str, Any]
    made_at: str
    parts: dict[str, str] = Field(description="file name to SHA-256")
    sha256: str = ""

    @property
    def rightly_hashed(self) -> str:
        return contract_hash(self.model_dump(mode="json", exclude={"sha256"}))


class Checkpoint(NamedTuple):
    """What was read, and from where."""

    path: Path
    state: State


def write_checkpoint(path: Path, made_for: Mapping[str, Any], state: State) -> None:
    """Write a folder that is its owner's alone. Raises OSError; then nothing is left of it."""
    files = {f"{part}.safetensors": pack_tensors(t) for part, t in state.tensors.items()}
    files[BOOKS] = json.dumps(state.books, allow_nan=False).encode()
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    index = Index(made_for=dict(made_for), made_at=now, parts=hashes)
    index = index.model_copy(update={"sha256": index.rightly_hashed})
    text = json.dumps(index.model_dump(mode="json"), indent=1, sort_keys=True)
    write_folder(path, files | {INDEX: text.encode()}, PRIVATE)


def read_index(path: Path) -> Index:
    """Raises CheckpointError, CheckpointMismatch for one of another release."""
    where = path / INDEX
    try:
        index = Index.model_validate_json(read_file(where, MAX_JSON, CheckpointError))
        whole = index.rightly_hashed == index.sha256
    except ValidationError as error:
        raise CheckpointError(f"{where}: {_first(error)}") from None
    except ValueError:  # NaN, which we do not write
        whole = False
    if not whole:
        raise CheckpointError(f"{where}: edited or damaged: its own hash does not match")
    if index.format_version != FORMAT_VERSION:
        raise CheckpointMismatch(
            f"{where}: format_version {index.format_version}, this release reads {FORMAT_VERSION}; "
            "go on with the release that wrote it, or name another output folder"
        )
    return index


def read_checkpoint(path: Path, made_for: Mapping[str, Any], like: State) -> Checkpoint:
    """Read and verify everything. `like`: the state of a learner that is to go on from it.

    Raises CheckpointMismatch naming the first field that is another's, CheckpointError naming the
    part that is damaged or does not belong here.
    """
    index = read_index(path)
    if difference := first_difference(dict(made_for), index.made_for):
        raise CheckpointMismatch(
            f"{path}: was made by another run: {difference}; give this one what that had ('there'),"
            " or name another output folder"
        )
    tensors = {}
    for part, wanted in like.tensors.items():
        name = f"{part}.safetensors"
        limit = MAX_DATA if part == DATA else expected_size(wanted)
        found = _unpacked(path / name, _read_part(path, name, index, limit))
        (_check_data if part == DATA else _check_part)(path / name, found, wanted)
        tensors[part] = found
    books = read_books(path, index)
    state = State(tensors, books.model_dump())
    _check_fits(path, books, state, made_for)
    return Checkpoint(path, state)


def _read_part(path: Path, name: str, index: Index, limit: int) -> bytes:
    content = read_file(path / name, limit, CheckpointError)
    if hashlib.sha256(content).hexdigest() != index.parts.get(name):
        raise CheckpointError(
            f"{path / name}: is not the one that {INDEX} names: damaged, or of another checkpoint; "
            "put the right one back, or remove this checkpoint"
        )
    return content


def _unpacked(where: Path, content: bytes) -> dict[str, Tensor]:
    try:
        return unpack_tensors(content)
    except ValueError as error:
        raise CheckpointError(f"{where}: holds no tensors: {error}") from None


def _check_part(where: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    if found.keys() != wanted.keys():
        first = min(found.keys() ^ wanted.keys())
        raise CheckpointError(f"{where}: {first} is in one of it and this learner, not in both")
    for name, tensor in found.items():
        here, there = _kind(wanted[name]), _kind(tensor)
        if here != there:
            raise CheckpointError(f"{where}: {name} is {there}, this learner has {here}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise CheckpointError(f"{where}: {name} holds values that are not finite")
        if name.split(".")[-1] == "std" and not (tensor > 0.0).all():
            raise CheckpointError(f"{where}: {name} holds values that are not above 0")


def _check_data(where: Path, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Numbers to show, which may be NaN, and transitions, of which there are more or fewer."""
    for name, tensor in wanted.items():
        if name not in found or _kind(found[name], lengths=False) != _kind(tensor, lengths=False):
            raise CheckpointError(f"{where}: {name} is missing, or not {_kind(tensor, False)}")
    if extra := found.keys() - wanted.keys():
        raise CheckpointError(f"{where}: {min(extra)} is unknown to this learner")
    if len({len(tensor) for name, tensor in found.items() if name.startswith(HELD_OUT)}) > 1:
        raise CheckpointError(f"{where}: what is held out is not of one length")


def read_books(path: Path, index: Index) -> Books:
    """All that is not tensors. Raises CheckpointError."""
    try:
        return Books.model_validate_json(_read_part(path, BOOKS, index, MAX_JSON))
    except ValidationError as error:
        raise CheckpointError(f"{path / BOOKS}: {_first(error)}") from None


def _check_fits(path: Path, books: Books, state: State, made_for: Mapping[str, Any]) -> None:
    try:
        torch.Generator(made_for["device"]).set_state(state.tensors["random"]["noise"])
        books.memory.check_capacity(made_for["learner"]["memory_capacity"])
        books.prior.check_capacity(made_for["learner"]["memory_capacity"])
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"{path}: does not fit this learner: {error}") from None


def _kind(tensor: Tensor, lengths: bool = True) -> str:
    """Type and shape, for people; without `lengths` the first dimension may be any."""
    shape = list(tensor.shape) if lengths else ["n", *tensor.shape[1:]][: tensor.dim()]
    return f"{str(tensor.dtype).removeprefix('torch.')}[{', '.join(map(str, shape))}]"


def _first(error: ValidationError) -> str:
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
