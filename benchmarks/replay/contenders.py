"""The stores that are compared, each used as its documentation shows.

A contender takes rows one by one, as a robot makes them. What another package is needed for is
imported when it is used, so that those that are installed can be measured without the others.
"""

import os
import time
from pathlib import Path
from typing import ClassVar

import numpy as np

from benchmarks.replay import rows

CAPACITY = 1_000_000


class Contender:
    """A store of rows in a new folder; `name` and what is left after a power cut (`kept`)."""

    name: ClassVar[str]
    kept: ClassVar[str]

    def __init__(self, folder: Path, capacity: int = CAPACITY):
        self.folder, self.capacity = folder, capacity

    def add(self, number: int, row: dict) -> None:
        """Store row `number`, which is what the robot has: `rows.transition(number)`."""
        raise NotImplementedError

    def fill(self, count: int) -> None:
        """Store the first `count` rows, the quickest way there is; to an empty store."""
        for number in range(count):
            self.add(number, rows.transition(number))

    def settle(self) -> None:
        """Return when all that was added is as safe as it gets."""

    def close(self) -> None:
        """Let go of everything."""

    def memory_bytes(self) -> int:
        """What the rows take in memory, all `capacity` of them."""
        return 0

    def disk_bytes_per_row(self, added: int) -> float:
        """After `close`."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) / added

    def open_sampler(self) -> None:
        """Make ready to sample from what was added."""

    def sample(self, batch: int) -> None:
        """Draw a random batch of transitions with their next observations."""
        raise NotImplementedError


class Nothing(Contender):
    """The loop alone."""

    name, kept = "nothing (the loop alone)", ""

    def add(self, number: int, row: dict) -> None:
        pass


class PorlStore(Contender):
    name, kept = "porl_ros", "all but the last 100 ms"
    WAITING = 30_000  # rows that may wait for the disk, half of what there is room for

    def __init__(self, folder: Path, capacity: int = CAPACITY):
        from porl_ros.replay import ReplayWriter

        super().__init__(folder, capacity)
        self._writer = ReplayWriter(folder / "store", rows.SCHEMA, "arm")

    def add(self, number: int, row: dict) -> None:
        while self._writer.rows - self._writer.acknowledged > self.WAITING:
            time.sleep(0.001)  # never at 1 kHz
        if self._writer.log(**row) != number:
            raise RuntimeError(self._writer.fault)

    def settle(self) -> None:
        self._writer.flush(60.0)

    def close(self) -> None:
        self._writer.close()

    def open_sampler(self) -> None:
        from porl_ros.replay import ReplayMemory, read_store

        self.close()
        sizes = rows.OBSERVATION, rows.ACTION
        self._memory = ReplayMemory(*sizes, self.capacity, discount=0.99, seed=0)
        for chunk in read_store(self.folder / "store"):
            self._memory.extend(chunk)

    def memory_bytes(self) -> int:
        return self._memory.nbytes

    def sample(self, batch: int) -> None:
        import torch

        for array in self._memory.sample(batch):
            if isinstance(array, np.ndarray):
                torch.from_numpy(array)


class Sb3Buffer(Contender):
    name, kept = "stable-baselines3 ReplayBuffer", "nothing: it is in memory"

    def __init__(self, folder: Path, capacity: int = CAPACITY):
        from gymnasium.spaces import Box
        from stable_baselines3.common.buffers import ReplayBuffer

        super().__init__(folder, capacity)
        spaces = Box(-np.inf, np.inf, (rows.OBSERVATION,)), Box(-1, 1, (rows.ACTION,))
        self._buffer = ReplayBuffer(
            capacity, *spaces, device="cpu", handle_timeout_termination=True
        )

    def add(self, number: int, row: dict) -> None:
        reward, done = np.array([row["reward"]], np.float32), np.array([row["terminated"]])
        following = rows.next_observation(number)[None]
        observation, action = row["observation"][None], row["action"][None]
        self._buffer.add(observation, following, action, reward, done, [{}])

    def memory_bytes(self) -> int:
        arrays = [value for value in vars(self._buffer).values() if isinstance(value, np.ndarray)]
        return sum(array.nbytes for array in arrays)

    def sample(self, batch: int) -> None:
        self._buffer.sample(batch)


class TorchRlBuffer(Contender):
    name, kept = "TorchRL LazyMemmapStorage", "what the kernel wrote back: no flush"

    def __init__(self, folder: Path, capacity: int = CAPACITY):
        os.environ.setdefault("RL_LOGGING_LEVEL", "WARNING")
        from torchrl.data import LazyMemmapStorage, TensorDictReplayBuffer

        super().__init__(folder, capacity)
        storage = LazyMemmapStorage(capacity, scratch_dir=folder)
        self._buffer = TensorDictReplayBuffer(storage=storage)

    def add(self, number: int, row: dict) -> None:
        import torch
        from tensordict import TensorDict

        following = {
            "observation": torch.from_numpy(rows.next_observation(number)),
            "reward": torch.tensor([row["reward"]]),
            "terminated": torch.tensor([row["terminated"]]),
            "truncated": torch.tensor([row["truncated"]]),
        }
        observation, action = (torch.from_numpy(row[name]) for name in ("observation", "action"))
        content = {"observation": observation, "action": action, "next": following}
        self._buffer.add(TensorDict(content, []))

    def fill(self, count: int) -> None:
        import torch
        from tensordict import TensorDict

        table = {name: torch.from_numpy(array) for name, array in rows.columns(count).items()}
        following = {name: table[name] for name in ("reward", "terminated", "truncated")}
        following["observation"] = table["observation"].roll(-1, 0)
        content = {"observation": table["observation"], "action": table["action"]}
        self._buffer.extend(TensorDict(content | {"next": following}, [count]))

    def disk_bytes_per_row(self, added: int) -> float:
        return super().disk_bytes_per_row(self.capacity)  # which its files have room for

    def sample(self, batch: int) -> None:
        self._buffer.sample(batch)


class H5pyTable(Contender):
    """One table of compound rows, which is faster than a data set a field."""

    name, kept = "h5py, flush every 100 ms", "what the kernel wrote back: no fsync"
    INTERVAL = 0.1  # s
    TABLE_ROWS = 1024  # that the table grows by, and in a chunk

    def __init__(self, folder: Path, capacity: int = CAPACITY):
        import h5py

        super().__init__(folder, capacity)
        self._file = h5py.File(folder / "rows.h5", "w", libver="latest")
        self._table = self._file.create_dataset(
            "rows", (0,), rows.SCHEMA.row_dtype, maxshape=(None,), chunks=(self.TABLE_ROWS,)
        )
        self._flushed = time.perf_counter()
        self._rows = 0
        self._random = np.random.default_rng(0)

    def add(self, number: int, row: dict) -> None:
        if number == len(self._table):
            self._table.resize(number + self.TABLE_ROWS, axis=0)
        self._table[number] = packed(row)
        self._rows = number + 1
        if time.perf_counter() - self._flushed >= self.INTERVAL:
            self.settle()

    def fill(self, count: int) -> None:
        self._table.resize(count, axis=0)
        table = np.zeros(count, rows.SCHEMA.row_dtype)
        for name, array in rows.columns(count).items():
            table[name] = array.reshape(table[name].shape)
        self._table[:] = table
        self._rows = count

    def settle(self) -> None:
        self._file.flush()
        self._flushed = time.perf_counter()

    def close(self) -> None:
        self._file.close()

    def sample(self, batch: int) -> None:
        picked = np.unique(self._random.integers(self._rows - 1, size=batch))  # as it demands
        following = np.unique(picked + 1)
        self._table[picked], self._table[following]


class H5pyTableSafe(H5pyTable):
    name = "h5py, flush every row"
    INTERVAL = 0.0


class NaiveZarr(Contender):
    name, kept = "zarr, append every row", "what the kernel wrote back: no fsync"

    def __init__(self, folder: Path, capacity: int = CAPACITY):
        import zarr

        super().__init__(folder, capacity)
        group = zarr.create_group(folder / "rows.zarr")
        dtype = rows.SCHEMA.row_dtype
        self._arrays = {
            name: group.create_array(
                name,
                shape=(0, *dtype[name].shape),
                chunks=(1024, *dtype[name].shape),
                dtype=dtype[name].base,
            )  # fmt: skip
            for name in dtype.names
        }
        self._random = np.random.default_rng(0)

    def add(self, number: int, row: dict) -> None:
        record = packed(row)
        for name, array in self._arrays.items():
            array.append(record[name][None])

    def fill(self, count: int) -> None:
        filled = rows.columns(count)
        for name, array in self._arrays.items():
            array.resize((count, *array.shape[1:]))
            if name in filled:
                array[:] = filled[name].reshape(array.shape)

    def sample(self, batch: int) -> None:
        count = self._arrays["reward"].shape[0]
        picked = self._random.integers(count - 1, size=batch)
        for name in ("observation", "action", "reward", "terminated"):
            self._arrays[name].oindex[picked]
        self._arrays["observation"].oindex[picked + 1]


def packed(row: dict) -> np.ndarray:
    """A row as one record."""
    record = np.zeros((), rows.SCHEMA.row_dtype)
    for name in record.dtype.names:
        record[name] = row[name]
    return record


CONTENDERS = {
    contender.name: contender
    for contender in (PorlStore, Sb3Buffer, TorchRlBuffer, H5pyTable, H5pyTableSafe, NaiveZarr)
}
