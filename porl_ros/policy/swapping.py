"""Reading new bundles beside the control loop, and putting them in between two steps."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from porl_ros.errors import PorlError
from porl_ros.policy.bundle import Manifest
from porl_ros.policy.runtime import Loaded, PolicyRuntime

DIGITS = 19  # of a version, at most; more may be anything


def in_thread(thread: ThreadPoolExecutor, job: Callable[..., None], *arguments: object) -> None:
    """Have something done that the control thread must not wait for; a bug in it is logged."""
    thread.submit(job, *arguments).add_done_callback(Future.result)


class BundleLoader:
    """Has bundles read and verified by `thread`; the control thread takes them from here.

    `on_loaded` (for every bundle, good or not) and `on_refused` are called in that thread. A bundle
    that is refused leaves the present policy acting. `is_stale` says of one that is read that it
    grew from a policy that turned out bad; the control thread asks.
    """

    def __init__(
        self,
        runtime: PolicyRuntime,
        thread: ThreadPoolExecutor,
        on_loaded: Callable[[], None] = lambda: None,
        on_refused: Callable[[Exception], None] = lambda error: None,
        is_stale: Callable[[Manifest], bool] = lambda manifest: False,
    ):
        self._runtime, self._thread, self._is_stale = runtime, thread, is_stale
        self._on_loaded, self._on_refused = on_loaded, on_refused
        self._ready: dict[int, Loaded] = {}
        self._refused: set[int] = set()  # versions

    def request(self, path: Path | str) -> None:
        """Have a bundle read; returns at once. Any thread."""
        in_thread(self._thread, self._load, path)

    def newest(self, above: int) -> Loaded | None:
        """The newest bundle that is read, if its version is above that and it is not stale. Control
        thread."""
        version = max(self._ready.copy(), default=-1)
        return self._take(version) if version > above else None

    def swap_to(self, version: int) -> bool:
        """Let this version act; False when it is not read yet. Passed over, so that nobody waits
        for it, is a bundle that was refused or is stale. Control thread."""
        if version not in self._ready:
            return version in self._refused
        if loaded := self._take(version):
            self._runtime.swap(loaded)
        return True

    def _take(self, version: int) -> Loaded | None:
        """Older ones are not wanted any more."""
        loaded = self._ready.pop(version)
        for older in [v for v in self._ready.copy() if v < version]:
            del self._ready[older]
        return None if self._is_stale(loaded[0].manifest) else loaded

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
