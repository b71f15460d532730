"""Reading new bundles beside the control loop, and putting them in between two steps."""

from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from porl_ros.errors import PorlError
from porl_ros.policy.runtime import PolicyRuntime

DIGITS = 19  # of a version, at most; more may be anything


class BundleLoader:
    """Reads and verifies bundles in a thread of its own; the control thread swaps them in.

    `on_loaded` (for every bundle, good or not) and `on_refused` are called in the loader's thread.
    A bundle that is refused leaves the present policy acting.
    """

    def __init__(
        self,
        runtime: PolicyRuntime,
        on_loaded: Callable[[], None] = lambda: None,
        on_refused: Callable[[Exception], None] = lambda error: None,
    ):
        self._runtime, self._on_loaded, self._on_refused = runtime, on_loaded, on_refused
        self._ready: dict[int, tuple] = {}
        self._refused: set[int] = set()  # versions
        self._requests: SimpleQueue[Path | str | None] = SimpleQueue()
        Thread(target=self._load, name="bundle loader", daemon=True).start()

    def request(self, path: Path | str) -> None:
        """Have a bundle read; returns at once. Any thread."""
        self._requests.put(path)

    def swap_to_newest(self, returns: int = 0) -> None:
        """Let the newest bundle that is read act; see `swap_to`. Control thread."""
        newest = max(self._ready.copy(), default=-1)
        if newest > self._runtime.version:
            self.swap_to(newest, returns)

    def swap_to(self, version: int, returns: int = 0) -> bool:
        """Let this version act; False when it is not read yet. Control thread.

        Passed over, so that nobody waits for it, is a bundle that was refused, and one that was
        made before the policy side went back for the `returns`-th time: it grew from the policy
        that turned out bad.
        """
        if version not in self._ready:
            return version in self._refused
        loaded = self._ready.pop(version)
        if loaded[0].manifest.returns >= returns:
            self._runtime.swap(loaded)
        for older in [v for v in self._ready.copy() if v < version]:
            del self._ready[older]
        return True

    def close(self) -> None:
        """End the thread after what it is reading."""
        self._requests.put(None)

    def _load(self) -> None:
        while (path := self._requests.get()) is not None:
            try:
                loaded = self._runtime.load(path)
            except (PorlError, OSError, ValueError) as error:  # a path may be any text
                self._refuse(path, error)
            else:
                self._ready[loaded[0].manifest.version] = loaded
            self._on_loaded()

    def _refuse(self, path: Path | str, error: Exception) -> None:
        name = Path(path).name  # what is refused need not be readable; learners name versions so
        if name.isdecimal() and len(name) < DIGITS:
            self._refused.add(int(name))
        self._on_refused(error)
