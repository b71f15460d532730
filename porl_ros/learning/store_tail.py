"""The learner's end of the store: every row once, and after a restart those that it knew before."""

from collections.abc import Iterable
from pathlib import Path
from zlib import crc32

import numpy as np

from porl_ros.learning.checkpoint import Checkpoint, CheckpointMismatch
from porl_ros.replay.errors import RowsGone
from porl_ros.replay.memory.replay_memory import Replay, ReplayMemory
from porl_ros.replay.reading.reader import Chunk, ReplayReader
from porl_ros.robot.config import RobotConfig


class StoreTail:
    """Waits for the store, then follows it. One thread."""

    def __init__(self, path: Path, robot: RobotConfig):
        self.path, self._robot = path, robot
        self._reader: ReplayReader | None = None
        self.last_rows: dict[str, tuple[int, int]] = {}  # of each run: number and checksum
        self._memory: ReplayMemory | None = None  # whose rows are still to come back
        self._checkpoint: Checkpoint | None = None

    def resume(self, checkpoint: Checkpoint, memory: ReplayMemory) -> None:
        """Go on after the rows that were fed when a checkpoint was taken. Those that the new
        `memory` held then are fed to it when the store is opened."""
        self._checkpoint, self._memory = checkpoint, memory
        self.last_rows = dict(checkpoint.state.books["run"]["last_rows"])

    def open(self) -> bool:
        """Whether the store is there. Raises ContractMismatch when it is one of another contract,
        CheckpointMismatch when it does not hold the rows that it is resumed after."""
        if self._reader is None and (self.path / "zarr.json").exists():
            books = self._checkpoint.state.books["memory"] if self._memory else {}
            contract = self._robot.contract_hash, self._robot.contract
            reader = ReplayReader(self.path, *contract, cursor=books.get("cursor"))
            if self._memory:
                self._bring_back(reader, books)
            self._reader = reader
        return self._reader is not None

    @property
    def waiting_for(self) -> str:
        """For people; empty once it is open."""
        if self._reader is not None:
            return ""
        rows = " with the rows that were learned from" if self._memory else ""
        return f"the replay store {self.path}{rows}"

    def poll(self, limit: int) -> list[Chunk]:
        """New rows, once it is open."""
        return self._reader.poll(limit)

    def fed(self, chunk: Chunk) -> None:
        """Call for all that is learned from, so that a checkpoint knows it again."""
        if len(chunk.rows):
            last = chunk.first_row + len(chunk.rows) - 1
            self.last_rows[chunk.run] = last, _checksum(chunk.rows[-1:])

    def _bring_back(self, reader: ReplayReader, books: dict) -> None:
        """Feed the memory the rows that it held, in the order in which they came."""
        try:
            self._memory.load_state_dict(books, self._same_rows(reader.replay))
        except (RowsGone, ValueError) as error:
            reader.close()
            raise CheckpointMismatch(
                f"{self._checkpoint.path}: the store {self.path} does not hold the rows it was "
                f"made with ({error}); name the store that does, or another output folder"
            ) from None
        self._memory = self._checkpoint = None

    def _same_rows(self, replay: Replay) -> Replay:
        """`replay`, looking whether the last row of each run is the one that was fed."""

        def checked(run: str, *stretch: int) -> Iterable[Chunk]:
            number, checksum = self.last_rows.get(run, (-1, 0))
            for chunk in replay(run, *stretch):
                if chunk.first_row <= number < chunk.first_row + len(chunk.rows):
                    row = chunk.rows[number - chunk.first_row :][:1]
                    if _checksum(row) != checksum:
                        raise RowsGone(f"run: {run}: row {number} is another one now")
                yield chunk

        return checked


def _checksum(row: np.ndarray) -> int:
    """Of one row (1,). Whether it is truncated may be found out later: when its run ends there."""
    row = row.copy()
    row["truncated"] = 0
    return crc32(row.tobytes())
