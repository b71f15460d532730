"""Reading ahead: a segment is many small files, and each is to be waited for on a cold disk."""

from concurrent.futures import Future, ThreadPoolExecutor

from porl_ros.replay.disk.journal import JournalTail
from porl_ros.replay.reading.follow import RunSource
from porl_ros.replay.schema import Records, RunIdentity

AHEAD_ROWS = 32_768  # that may wait in memory
THREADS = 4


class ReadAhead:
    """A run whose next segments are read in threads of `pool` while the last one is used."""

    def __init__(self, run: RunSource, pool: ThreadPoolExecutor):
        self.identity: RunIdentity = run.identity
        self._run, self._pool = run, pool
        self._listed: list[int] = []
        self._loads: dict[int, Future[Records]] = {}

    def changed(self) -> bool:
        return self._run.changed()

    def sources(self) -> list[int]:
        self._listed = self._run.sources()
        return self._listed

    def load(self, first_row: int) -> Records:
        soon = [row for row in self._listed if first_row < row <= first_row + AHEAD_ROWS]
        loads = {row: self._loads.get(row) or self._begin(row) for row in soon}
        own = self._loads.get(first_row)
        self._loads = loads
        return own.result() if own else self._run.load(first_row)

    def _begin(self, first_row: int) -> Future[Records]:
        return self._pool.submit(self._run.load, first_row)

    def journal(self, first_row: int) -> JournalTail:
        return self._run.journal(first_row)

    def rows_in(self, first_row: int) -> int:
        return self._run.rows_in(first_row)

    def retained_row(self) -> int:
        return self._run.retained_row()
