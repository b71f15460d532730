"""What lies on disk: folders that are there whole or not at all, and tensors. No pickle.

What is read is untrusted: it is bounded before it is read, and parsed only by safetensors.
"""

import os
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from porl_ros.errors import PorlError

READ_ONLY, PRIVATE = 0o444, 0o400  # modes of files; the umask takes away from them
MAX_HEADER = 2**20  # bytes in which safetensors names tensors; ours take a few thousand
# What safetensors and torch make of bytes that are no tensors.
MALFORMED = (SafetensorError, RuntimeError, KeyError, ValueError, TypeError, AssertionError)


def write_folder(path: Path, files: Mapping[str, bytes], mode: int = READ_ONLY) -> None:
    """Write a folder of files atomically and durably: temporary name, fsync, rename, fsync.

    The files have `mode`. A `PRIVATE` folder is of its owner alone, others are as the umask says.
    Raises OSError; then nothing is left of it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(0o700 if mode == PRIVATE else 0o777)
    try:
        for name, content in files.items():
            _write_file(temporary / name, content, mode)
        sync_folder(temporary)
        os.rename(temporary, path)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(path.parent)


def _write_file(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def remove_folder(path: Path) -> None:
    """Remove a folder so that nobody ever sees half of it. Raises OSError."""
    hidden = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    shutil.rmtree(hidden, ignore_errors=True)
    os.rename(path, hidden)
    shutil.rmtree(hidden)


def remove_leftovers(parent: Path) -> None:
    """Remove what was being written or removed when a process was killed. Only for a folder's one
    owner, while it does neither."""
    for path in parent.glob(".*.tmp"):
        shutil.rmtree(path, ignore_errors=True)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_file(path: Path, limit: int, error: type[PorlError]) -> bytes:
    """A regular file of at most `limit` bytes. Anything else raises `error`: a pipe would never
    end, a device never stop."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise error(f"{path}: cannot be read: it is not a file")
            if status.st_size > limit:
                raise error(
                    f"{path}: is larger than {limit} bytes, all it can need; it is not read"
                )
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(status.st_size)
        finally:
            os.close(descriptor)
    except OSError as reason:
        raise error(f"{path}: cannot be read: {reason.strerror}") from None


def pack_tensors(tensors: Mapping[str, Tensor]) -> bytes:
    """As safetensors; from any device."""
    return save_tensors({k: v.detach().cpu().contiguous() for k, v in tensors.items()})


def unpack_tensors(content: bytes) -> dict[str, Tensor]:
    """What `pack_tensors` made, or whatever else the bytes claim to be. Raises ValueError."""
    claimed = int.from_bytes(content[:8], "little")
    if claimed > MAX_HEADER:  # it would be parsed, and may be all braces
        raise ValueError(f"its header claims {claimed} bytes, which is not one of ours")
    try:
        return load_tensors(content)
    except MALFORMED as error:
        raise ValueError(str(error) or type(error).__name__) from None


def expected_size(tensors: Mapping[str, Tensor]) -> int:
    """Bytes that a file of such tensors takes at most; they may be on the meta device."""
    return MAX_HEADER + 8 + sum(t.numel() * t.element_size() for t in tensors.values())
