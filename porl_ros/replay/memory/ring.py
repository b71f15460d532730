"""The ring of slots in which a memory keeps its transitions.

A slot is one packed record, not one place in each of several arrays: what is drawn then lies in one
place in memory, or on one page of the file that a ring beyond its budget is mapped to.

A transition's next observation is not stored with it: `next` names the slot that holds it, which is
that of the following row of the same run, or one of its own for an episode's final observation. So
rows of several runs may lie in the ring in any mixture.
"""

import errno
import mmap
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from porl_ros.replay.errors import MemoryBudgetError

READY, FINISHED, SUCCESS, SHOWN = 1, 2, 4, 8  # flags of a slot; SHOWN: a person or expert acted
NOWHERE = -1
LARGEST = 2**31 - 1  # slots; `next` has 32 bits


class Ring:
    """`capacity` slots, given out in order; the oldest are given out again. One thread.

    An *address* counts the slots ever given out: slot = address % capacity. `size` of them are
    READY: their next observation is known.
    """

    def __init__(
        self,
        observation_size: int,
        action_size: int,
        capacity: int,
        budget: int,
        scratch: Path | None,
    ):
        """Raises MemoryBudgetError if the slots take more than `budget` bytes, and cannot be mapped
        to a file in `scratch`."""
        if not 2 <= capacity <= LARGEST:
            raise ValueError(f"capacity: {capacity} must be from 2 to {LARGEST} slots")
        self.capacity, self.given, self.size = capacity, 0, 0
        self._floats = observation_size + action_size + 1
        dtype = np.dtype(
            [
                ("observation", "<f4", (observation_size,)),
                ("action", "<f4", (action_size,)),
                ("reward", "<f4"),
                ("terminated", "<f4"),
                ("mc_return", "<f4"),
                ("next", "<i4"),
            ]
        )
        self.nbytes = capacity * (dtype.itemsize + 1)
        self.mapped = self.nbytes > budget
        memory = _map(self.nbytes, budget, scratch) if self.mapped else np.zeros(self.nbytes, "u1")
        self.slots = memory[: capacity * dtype.itemsize].view(dtype)
        self._table = self.slots.view(np.float32).reshape(capacity, dtype.itemsize // 4)
        self.flags = memory[capacity * dtype.itemsize :]

    def pack(self, rows: np.ndarray) -> np.ndarray:
        """Rows of a store as slots hold them; `next` is not known yet."""
        packed = np.empty(len(rows), self.slots.dtype)
        packed["observation"], packed["action"] = rows["observation"], rows["action"]
        packed["reward"], packed["terminated"] = rows["reward"], rows["terminated"] != 0
        packed["mc_return"] = np.nan
        return packed

    def pack_finals(self, finals: np.ndarray) -> np.ndarray:
        """Final observations as slots hold them: something leads to them, and nothing follows."""
        packed = np.zeros(len(finals), self.slots.dtype)
        packed["observation"] = finals["observation"]
        return packed

    def floats(self, packed: np.ndarray) -> np.ndarray:
        """What was measured: observation, action and reward, (b, n + m + 1); a view."""
        return packed.view(np.float32).reshape(len(packed), self._table.shape[1])[:, : self._floats]

    def put(self, packed: np.ndarray, linked: np.ndarray) -> np.ndarray:
        """Give out as many addresses, at most `capacity`, and write there; returns them. Where
        `linked`, what follows is at the next address."""
        count = len(packed)
        addresses = self.given + np.arange(count)
        packed["next"] = np.where(linked, (addresses + 1) % self.capacity, NOWHERE)
        table = packed.view(np.float32).reshape(count, self._table.shape[1])
        start = self.given % self.capacity
        split = min(count, self.capacity - start)
        for at, part in ((start, slice(0, split)), (0, slice(split, count))):
            here = slice(at, at + part.stop - part.start)
            self.size -= int(np.count_nonzero(self.flags[here] & READY))
            self._table[here], self.flags[here] = table[part], linked[part]
        self.size += int(np.count_nonzero(linked))
        self.given += count
        return addresses

    def link(self, address: int, following: int) -> None:
        """Make a row ready that was written without what follows."""
        if address >= self.oldest:
            slot = address % self.capacity
            self.slots["next"][slot] = following % self.capacity
            self.flags[slot] |= READY
            self.size += 1

    def addresses(self, slots: np.ndarray) -> np.ndarray:
        """Of what lies in these slots now."""
        newest = self.given - 1
        return newest - (newest - slots.astype(np.int64)) % self.capacity

    @property
    def oldest(self) -> int:
        """The first address that was not given out again."""
        return self.given - self.capacity

    def alive(self, addresses: np.ndarray) -> np.ndarray:
        """Those of ascending addresses that were not given out again."""
        return addresses[np.searchsorted(addresses, self.oldest) :]


def join_records(parts: Sequence[np.ndarray]) -> np.ndarray:
    """One array of records, or of floats, from several."""
    if len(parts) == 1:
        return parts[0]
    # As plain floats, which all of it is or is as wide as: joining records takes five times as long
    return np.concatenate([part.view(np.float32) for part in parts]).view(parts[0].dtype)


def _map(nbytes: int, budget: int, scratch: Path | None) -> np.ndarray:
    """Zeros in a file that has no name, so that nothing is left however the process ends."""
    needs = f"the memory takes {nbytes} bytes, above its budget of {budget}"
    if scratch is None:
        raise MemoryBudgetError(
            f"budget: {needs}; lower the capacity, raise the budget, or name a scratch folder"
        )
    try:
        with tempfile.TemporaryFile(dir=scratch) as file:
            disk = os.fstatvfs(file.fileno())
            if disk.f_bavail * disk.f_frsize < nbytes:  # before all that is free is taken in vain
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.posix_fallocate(file.fileno(), 0, nbytes)  # so that no row meets a full disk later
            mapped = mmap.mmap(file.fileno(), nbytes)
    except OSError as error:
        raise MemoryBudgetError(
            f"scratch: {needs}, and {scratch} has no room for it ({error}); free the disk, name "
            "another folder, or lower the capacity"
        ) from error
    mapped.madvise(mmap.MADV_RANDOM)
    return np.frombuffer(mapped, np.uint8)
