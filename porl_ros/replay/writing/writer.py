"""Records one run of one robot."""

import contextlib
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from porl_ros.replay.disk.layout import RunFolder, create_store, folder_lock, make_folder
from porl_ros.replay.disk.recovery import recover_robot, run_lock
from porl_ros.replay.disk.retention import Pruner, Retention
from porl_ros.replay.errors import RecordingStopped, RunExists, StoreNotWritable, WriterClosed
from porl_ros.replay.schema import ReplaySchema, RunIdentity
from porl_ros.replay.writing.buffer import RowBuffer, RowPacker
from porl_ros.replay.writing.flush import Flusher

BUFFER_ROWS = 1 << 16  # may wait for the disk: a minute at 1 kHz; only touched pages take memory


def fresh_run() -> str:
    """A new run name; names sort by when they were made, as far as the clock is right."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{token_hex(3)}"


class ReplayWriter:
    """One run of one robot.

    `log`, `end_episode` and `request_flush` are for the control thread: they copy into memory and
    return. A thread of the writer's own writes the journal every `flush_interval` seconds and
    fdatasyncs it; from then on the rows are *acknowledged*. A second one seals each `segment_rows`
    rows (a few more, if a flush brings more) into a segment, and never delays a flush.

    When the disk fails, `fault` says how, recording stops, and nothing is raised on the control
    thread. Close the writer, or use it as a context manager: what is not flushed is lost.
    """

    def __init__(
        self,
        store: Path,
        schema: ReplaySchema,
        robot: str,
        run: str | None = None,
        flush_interval: float = 0.1,
        segment_rows: int = 4096,
        retention: Retention | None = None,
    ):
        """Open the store (created if missing), seal what this robot's crashed runs left open, and
        begin a run. Blocks on the disk. `retention`: what to keep of this robot, all of it if left
        out; oldest segments are dropped after each seal, by the thread that seals.

        Raises InvalidName, StoreFormatError, NewerFormat, ContractMismatch, RunLocked (another
        writer has the run), RunExists (it was recorded before), StoreNotWritable.
        """
        if not flush_interval > 0:
            raise ValueError(f"flush_interval: {flush_interval} must be above 0 seconds")
        if segment_rows < 1:
            raise ValueError(f"segment_rows: {segment_rows} must be at least 1")
        store, self.robot, self.run = Path(store), robot, run or fresh_run()
        self.rows = 0  # logged so far
        self._finals = 0
        self._identity = RunIdentity(schema, robot, self.run)
        self._folder = RunFolder(store, robot, self.run)
        self._packer = RowPacker(schema)
        self._episode_open = self._closed = False
        self._lock = threading.Lock()  # guards rows, packer, buffers; never held across I/O
        self._active, self._spare = (RowBuffer(schema, BUFFER_ROWS) for _ in range(2))
        self._held = contextlib.ExitStack()
        try:
            create_store(store, schema)
            self._begin(store, flush_interval, segment_rows, retention)
        except OSError as error:
            self._held.close()
            raise StoreNotWritable(
                f"store: {store} cannot be written ({error}); free the disk, or name a folder "
                "that this user may write"
            ) from error

    def _begin(
        self, store: Path, flush_interval: float, segment_rows: int, retention: Retention | None
    ) -> None:
        robot = store / "writers" / self._identity.robot
        make_folder(robot)
        with folder_lock(robot):  # nobody recovers a run between its folder and its lock
            recover_robot(store, self._identity.schema, self._identity.robot)
            known = self._folder.path.exists()
            make_folder(self._folder.segments)
            make_folder(self._folder.journal)
            self._held.enter_context(run_lock(self._folder))
        if known:
            self._held.close()
            raise RunExists(
                f"run: {self._folder.path} was recorded before; leave `run` out for a new one"
            )
        pruner = Pruner(store, self._identity.robot, retention or Retention())
        self._flusher = Flusher(
            self._folder, self._identity, self._swap, flush_interval, segment_rows, pruner.apply
        )

    @property
    def acknowledged(self) -> int:
        """Rows that are durable. Any thread."""
        return self._flusher.rows

    @property
    def fault(self) -> str | None:
        """Why recording stopped, or None. Any thread."""
        return self._flusher.fault

    def log(
        self,
        *,
        observation: ArrayLike,
        action: ArrayLike,
        requested_action: ArrayLike,
        reward: float,
        terminated: bool,
        truncated: bool,
        actor: int,
        policy_version: int,
        episode: int,
        step: int,
        stamp: int,
        final_observation: ArrayLike | None = None,
        images: Mapping[str, np.ndarray] | None = None,
    ) -> int:
        """Record one transition; returns its row number, or -1 if `fault` is set.

        `observation` (n), `action` (m; what was really executed), `requested_action` (m; what the
        policy asked for), `actor` (Actor), `policy_version` (-1: none), `step` (within the
        episode), `stamp` (ns, ROS clock), `final_observation` (n; what followed the last step):
        required with `terminated` or `truncated`, refused without. `images`: what the cameras saw
        with this observation, uint8 (height, width, channels) by stream, of any of the streams.

        Called by the control thread; copies, no I/O. Raises ValueError naming the field (wrong
        shape, not finite, out of range) with nothing recorded, and WriterClosed.
        """
        with self._lock:
            self._packer.pack(
                observation=observation,
                action=action,
                requested_action=requested_action,
                reward=reward,
                terminated=terminated,
                truncated=truncated,
                actor=actor,
                policy_version=policy_version,
                episode=episode,
                step=step,
                stamp=stamp,
            )
            final = self._packer.final(bool(terminated or truncated), final_observation)
            frames = self._active.frames(images) if images else ()
            if not self._recording():
                return -1
            for slots, image in frames:
                self._active.add_frame(slots, self.rows, image)
            self._add_row(final, truncated)
            return self.rows - 1

    def end_episode(self, final_observation: ArrayLike) -> None:
        """Close the open episode, whose last row is logged already, as truncated (operator abort,
        shutdown). `final_observation` (n) is what followed. Does nothing if no episode is open.

        Called by the control thread. Raises ValueError as `log` does, and WriterClosed.
        """
        with self._lock:
            final = self._packer.final(True, final_observation)
            if self._recording() and self._episode_open:
                self._add_final(True, final)
                self._episode_open = False

    def request_flush(self) -> None:
        """Have the journal written now rather than at the next interval; returns at once."""
        self._flusher.wake()

    def _recording(self) -> bool:
        if self._closed:
            raise WriterClosed(f"run: {self._identity.name} is closed; open another writer")
        if self.fault is None and self._active.full:
            self._flusher.fault = (
                f"the disk is too slow: {self._active.rows} rows wait; recording stopped"
            )
            self._flusher.wake()
        return self.fault is None

    def _add_row(self, final: np.ndarray | None, truncated: bool) -> None:
        self._active.add_row(self._packer.row)
        self.rows += 1
        self._episode_open = final is None
        if final is not None:
            self._add_final(truncated, final)
        if self._active.half_full:
            self._flusher.wake()

    def _add_final(self, truncated: bool, observation: np.ndarray) -> None:
        self._active.add_final(self.rows - 1, truncated, observation)
        self._finals += 1

    def _swap(self) -> RowBuffer:
        """What was logged since the last call; called by the flusher, which clears it."""
        with self._lock:
            self._active, self._spare = self._spare, self._active
            return self._spare

    def flush(self, timeout: float = 10.0) -> None:
        """Return when everything logged before the call is durable. Not for the control thread.

        Raises RecordingStopped if the disk failed, TimeoutError after `timeout` seconds.
        """
        with self._lock:
            target = self.rows, self._finals
        self._flusher.wake()
        if not self._flusher.wait_for(*target, timeout):
            raise TimeoutError(f"timeout: {self._identity.name} was not durable in {timeout} s")
        if not self._flusher.reached(*target):
            raise RecordingStopped(f"run: {self._identity.name}: {self.fault}")

    def close(self) -> None:
        """Flush, seal and let go of the run; harmless when repeated. Does not raise for a failed
        disk: what is acknowledged is in the journal, and the next writer recovers it."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
        self._flusher.close()
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
