"""The disk side of a writer: a thread that makes rows durable, and one that seals them."""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from porl_ros.replay.disk.journal import JournalWriter
from porl_ros.replay.disk.layout import RunFolder
from porl_ros.replay.disk.recovery import seal_journal
from porl_ros.replay.schema import RunIdentity
from porl_ros.replay.writing.buffer import RowBuffer

IMAGE_BYTES = 1 << 28  # of images in a journal; then it is sealed, however few its rows

log = logging.getLogger(__name__)


class Flusher:
    """Writes what `take` hands over to the journal, every `interval` seconds or when woken.

    `rows` and `finals` count what is durable. `fault` is set, by whoever notices first, when
    recording has to stop; the thread then ends.
    """

    def __init__(
        self,
        folder: RunFolder,
        identity: RunIdentity,
        take: Callable[[], RowBuffer],
        interval: float,
        segment_rows: int,
        sealed: Callable[[], object] = lambda: None,
    ):
        """Creates the first journal; raises OSError."""
        self.rows = self.finals = 0
        self.fault: str | None = None
        self._folder, self._identity, self._take = folder, identity, take
        self._interval, self._segment_rows = interval, segment_rows
        self._sealed = sealed  # called after each seal, by the thread that seals
        self._journal = self._new_journal()
        self._full: JournalWriter | None = None  # complete, and sealed once rows follow it
        self._wake, self._progress = threading.Event(), threading.Condition()
        self._closing = False
        self._sealer = ThreadPoolExecutor(1, thread_name_prefix="replay-seal")
        self._thread = threading.Thread(target=self._run, name="replay-flush", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Flush now; returns at once. Any thread."""
        self._wake.set()

    def wait_for(self, rows: int, finals: int, timeout: float) -> bool:
        """Wait until so many are durable or recording has stopped; False if neither came."""

        def done() -> bool:
            return self.fault is not None or self.reached(rows, finals)

        with self._progress:
            return self._progress.wait_for(done, timeout)

    def reached(self, rows: int, finals: int) -> bool:
        return self.rows >= rows and self.finals >= finals

    def close(self) -> None:
        """Flush and seal what `take` still gives; call once. A failed disk is logged."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        self._seal_full(over=self._journal.rows == 0)
        self._journal.close()
        self._seal_later(self._journal, newest=True, over=True)
        self._sealer.shutdown()

    def _run(self) -> None:
        closing = False
        while not closing and self.fault is None:
            self._wake.wait(self._interval)
            self._wake.clear()
            closing = self._closing  # read before the flush: it then takes all that was logged
            try:
                self._flush()
            except Exception as error:  # noqa: BLE001  whatever it is, the robot goes on
                self.fault = f"the disk failed ({error}); recording stopped"
        if self.fault is not None:
            log.error("replay: run %s: %s", self._identity.name, self.fault)
        with self._progress:
            self._progress.notify_all()

    def _flush(self) -> None:
        buffer = self._take()
        if buffer.rows or buffer.finals:
            records = buffer.records(self.rows, self.finals)
            self._journal.append(records, buffer.images)
            buffer.clear()
            with self._progress:
                self.rows, self.finals = records.next_row, records.next_final
                self._progress.notify_all()
        if self._journal.rows:
            self._seal_full(over=False)
        if self._journal.rows >= self._segment_rows or self._journal.image_bytes >= IMAGE_BYTES:
            # A new journal first: the next flush goes there and does not wait for the seal
            self._full, self._journal = self._journal, self._new_journal()
            self._full.close()

    def _seal_full(self, over: bool) -> None:
        """Not before it is known whether the run goes on: its last row may have been cut off."""
        if self._full:
            self._seal_later(self._full, newest=False, over=over)
            self._full = None

    def _new_journal(self) -> JournalWriter:
        path = self._folder.wal(self.rows)
        return JournalWriter(path, self._identity, self.rows, self.finals)

    def _seal_later(self, journal: JournalWriter, newest: bool, over: bool) -> None:
        self._sealer.submit(self._seal, int(journal.path.stem), newest, over)

    def _seal(self, first_row: int, newest: bool, over: bool) -> None:
        try:
            seal_journal(self._folder, self._identity, first_row, newest, over)
        except Exception as error:  # noqa: BLE001  the journal has the rows; recovery seals them
            log.error("replay: run %s: not sealed: %s", self._identity.name, error)
            return
        try:
            self._sealed()
        except Exception as error:  # noqa: BLE001  more is kept than was wanted
            log.error("replay: run %s: nothing dropped: %s", self._identity.name, error)
