"""Reading new bundles beside the control loop, and putting them in between two steps."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from porl_ros.errors import PorlError
from porl_ros.policy.runtime import Loaded, PolicyRuntime

DIGITS = 19  # of a version, at most; more may be anything


def in_thread(thread: ThreadPoolExecutor, job: Callable[..., None], *arguments: object) -> None:
    """Have something done that the control thread must not wait for; a bug in it is logged."""
    thread.submit(job, *arguments).add_done_callback(Future.result)


class BundleLoader:
    """Has bundles read and verified by `thread`; the control thread takes them from here.

    `on_loaded` (for every bundle, good or not) and `on_refused` are called in that thread. A bundle
    that is refused leaves the present policy acting.
    """

    def __init__(
        self,
        runtime: PolicyRuntime,
        thread: ThreadPoolExecutor,
        on_loaded: Callable[[], None] = lambda: None,
        on_refused: Callable[[Exception], None] = lambda error: None,
    ):
        self._runtime, self._thread = runtime, thread
        self._on_loaded, self._on_refused = on_loaded, on_refused
        self._ready: dict[int, Loaded] = {}
        self._refused: set[int] = set()  # versions

    def request(self, path: Path | str) -> None:
        """Have a bundle read; returns at once. Any thread."""
        in_thread(self._thread, self._load, path)

    def newest(self, above: int, returns: int = 0) -> Loaded | None:
        """The newest bundle that is read, if its version is above that; see `swap_to` for what is
        passed over. Control thread."""
        version = max(self._ready.copy(), default=-1)
        return self._take(version, returns) if version > above else None

    def swap_to(self, version: int, returns: int = 0) -> bool:
        """Let this version act; False when it is not read yet. Control thread.

        Passed over, so that nobody waits for it, is a bundle that was refused, and one that was
        made before the policy side went back for the `returns`-th time: it grew from the policy
        that turned out bad.
        """
        if version not in self._ready:
            return version in self._refused
        if loaded := self._take(version, returns):
            self._runtime.swap(loaded)
        return True

    def _take(self, version: int, returns: int) -> Loaded | None:
        """Older ones are not wanted any more."""
        loaded = self._ready.pop(version)
        for older in [v for v in self._ready.copy() if v < version]:
            del self._ready[older]
        return loaded if loaded[0].manifest.returns >= returns else None

    def _load(self, path: Path | str) -> None:
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
