"""In what order a memory was fed: enough to feed it the same again, and not much more."""

from typing import NamedTuple

RESTARTS = 16  # how far apart: the ring's capacity divided by this
FEW = 1024  # stretches that are not worth a look at whether they are still needed


class Stretch(NamedTuple):
    """Rows `first_row` up to `next_row` of a run, which took the addresses `first` up to `end`.

    With them came those finals of the run's rows before `final_row` that had not come before.
    """

    first: int
    end: int
    run: str
    first_row: int
    next_row: int
    final_row: int


class Restart(NamedTuple):
    """The first row of an episode and its address: a run can be fed again from here."""

    address: int
    row: int


class FeedHistory:
    """The stretches in which a memory was fed, as far back as they show in its ring. One thread."""

    def __init__(self, capacity: int):
        self._capacity = capacity
        self._stretches: list[Stretch] = []
        self._restarts: dict[str, list[Restart]] = {}
        self._enough = FEW

    def add(self, stretch: Stretch, restart: Restart | None) -> None:
        """`restart`: an episode that begins in this stretch, if one does."""
        last = self._stretches[-1] if self._stretches else None
        if last and (last.run, last.next_row, last.end) == (
            stretch.run,
            stretch.first_row,
            stretch.first,
        ):
            self._stretches[-1] = stretch._replace(first=last.first, first_row=last.first_row)
        else:
            self._stretches.append(stretch)
        restarts = self._restarts.setdefault(stretch.run, [])
        apart = self._capacity // RESTARTS
        if restart and (not restarts or restart.address >= restarts[-1].address + apart):
            restarts.append(restart)

    @property
    def long(self) -> bool:
        """Whether it is time to forget what is not needed any more."""
        return len(self._stretches) > self._enough

    def needed(self, oldest: int, open_since: dict[str, int]) -> list[Stretch]:
        """What to feed again, for all that has addresses from `oldest` on, and for the episodes
        that are `open_since` an address; the rest is forgotten."""
        ends = {stretch.run: stretch.end for stretch in self._stretches}
        for run, end in ends.items():
            since = min(oldest, open_since.get(run, oldest))
            self._forget(run, since, all_of_it=end <= since)
        self._enough = max(FEW, 2 * len(self._stretches))
        return list(self._stretches)

    def _forget(self, run: str, since: int, all_of_it: bool) -> None:
        usable = [one for one in self._restarts.get(run, []) if one.address <= since]
        if all_of_it:
            self._restarts.pop(run, None)
            self._stretches = [one for one in self._stretches if one.run != run]
        elif usable:
            del self._restarts[run][: len(usable) - 1]
            rest = (one if one.run != run else _after(one, usable[-1]) for one in self._stretches)
            self._stretches = [one for one in rest if one]


def _after(stretch: Stretch, restart: Restart) -> Stretch | None:
    """What of a stretch of the same run is not before `restart`."""
    if stretch.next_row <= restart.row:
        return None
    if stretch.first_row > restart.row:
        return stretch
    return stretch._replace(first=restart.address, first_row=restart.row)
