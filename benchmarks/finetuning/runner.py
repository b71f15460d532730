"""Fills the table: every run a process of its own, several at a time, breadth first.

A run that is there with the same settings is not made again, so the table can be filled over
several sittings. However this process ends, its runs end with it and leave nothing half done.
"""

import ctypes
import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from rich.console import Console
from rich.markup import escape

from benchmarks.finetuning.bases import RUNS
from benchmarks.finetuning.results import FOLDER, ROOT, STANDARD, Cell, Judging, State, read, state
from benchmarks.finetuning.tasks import TASKS
from porl_ros.errors import PorlError

METAWORLD_PYTHON = Path(os.environ.get("PORL_METAWORLD_PYTHON", ".venv-metaworld/bin/python"))
FIRST_GUESS = 1 / 40  # seconds a step, until a run has been timed
LOOK = 1.0  # seconds between two looks at runs that say nothing
PR_SET_PDEATHSIG = 1

console = Console()


class Wanted(NamedTuple):
    """A run and its length in environment steps."""

    cell: Cell
    steps: int


class Interpreters(NamedTuple):
    """The Python that runs tasks of each kind of requirements; None: not installed."""

    main: Path | None = Path(sys.executable)
    metaworld: Path | None = METAWORLD_PYTHON if METAWORLD_PYTHON.is_file() else None

    def of(self, cell: Cell) -> Path | None:
        return getattr(self, TASKS[cell.task].requirements)


INSTALLED = Interpreters()


class Runner:
    """Makes the runs that are wanted and missing, `jobs` at a time."""

    def __init__(
        self,
        jobs: int,
        folder: Path = FOLDER,
        interpreters: Interpreters = INSTALLED,
        judging: Judging = STANDARD,
    ):
        self._jobs, self._folder = jobs, folder
        self._interpreters, self._judging = interpreters, judging
        self._running: list[_Child] = []
        self._seconds_per_step: dict[str, float] = {}  # by method
        self.failed: list[Cell] = []

    def run(self, wanted: Sequence[Wanted]) -> None:
        """Make them, in this order; PorlError when another runner is at work in the folder."""
        with _only_one(self._folder):
            for leftover in self._folder.glob("*/.*.json.*"):
                leftover.unlink()
            self._learn_speeds()
            queue = deque(self._possible(wanted))
            total = len(queue)
            try:
                with console.status("") as line:
                    while queue or self._running:
                        while queue and len(self._running) < self._jobs:
                            self._running.append(self._start(queue.popleft()))
                        line.update(escape(self._line(queue, total)))
                        self._wait()
                        self._collect(queue, total)
            finally:
                for child in self._running:
                    child.kill()

    def _possible(self, wanted: Sequence[Wanted]) -> Iterator[Wanted]:
        """What is to be done, and can be."""
        for one in wanted:
            there = state(*one, self._folder, self._judging)
            if there in (State.DONE, State.OTHER_CODE):
                continue
            if self._interpreters.of(one.cell) is None:
                _say(
                    f"{one.cell}: left out, needs Meta-World: `make metaworld`, or say where "
                    "its Python is with --metaworld-python or PORL_METAWORLD_PYTHON"
                )
                continue
            if there is State.STALE:
                _say(f"{one.cell}: was made with other settings, is made again")
            yield one

    def _start(self, wanted: Wanted) -> "_Child":
        python = self._interpreters.of(wanted.cell)
        return _Child(wanted, python, self._judging, wanted.cell.path(self._folder).absolute())

    def _wait(self) -> None:
        ready, _, _ = select.select([child.output for child in self._running], [], [], LOOK)
        for child in self._running:
            if child.output in ready:
                child.listen()

    def _collect(self, queue: Sequence[Wanted], total: int) -> None:
        for child in [child for child in self._running if child.ended]:
            self._running.remove(child)
            if child.code == 0:
                self._note_speed(read(child.wanted.cell.path(self._folder)))
            else:
                self.failed.append(child.wanted.cell)
            _say(f"{child.summary()}; {self._progress(queue, total)}")

    def _line(self, queue: Sequence[Wanted], total: int) -> str:
        """What a terminal shows while runs are under way."""
        running = (f"{c.wanted.cell}: {c.success:.2f} at {c.step:,}" for c in self._running)
        return "; ".join([*running, self._progress(queue, total)])

    def _progress(self, queue: Sequence[Wanted], total: int) -> str:
        done = total - len(queue) - len(self._running)
        return f"{done} of {total} done, about {_hours(self._left(queue))} to go"

    def _left(self, queue: Sequence[Wanted]) -> float:
        """Seconds until all is done, by the speeds seen; stopping early is not foreseen."""
        seen = self._seconds_per_step
        usual = sum(seen.values()) / len(seen) if seen else FIRST_GUESS
        work = [(one.cell.method, one.steps) for one in queue]
        work += [(c.wanted.cell.method, c.wanted.steps - c.step) for c in self._running]
        return sum(seen.get(method, usual) * steps for method, steps in work) / self._jobs

    def _learn_speeds(self) -> None:
        for path in self._folder.glob("*/[!.]*.json"):
            self._note_speed(read(path))

    def _note_speed(self, result: dict) -> None:
        self._seconds_per_step[result["method"]] = result["wall_clock_s"] / result["env_steps"]


class _Child:
    """One run in a process, which dies with this one."""

    def __init__(self, wanted: Wanted, python: Path, judging: Judging, output: Path):
        self.wanted, self.step, self.success = wanted, 0, float("nan")
        self._begin = time.monotonic()
        self.log = RUNS / "logs" / f"{str(wanted.cell).replace(' ', '-')}.log"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        task, method, seed = map(str, wanted.cell)
        command = [str(python), "-m", "benchmarks.finetuning.run", task, method, seed]
        command += ["--steps", str(wanted.steps), "--output", str(output)]
        command += ["--episodes", str(judging.episodes), "--fresh", str(judging.fresh)]
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        with open(self.log, "w") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **one_thread, "PYTHONPATH": str(ROOT)},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self.output: IO[bytes] = self._process.stdout
        self.code: int | None = None

    @property
    def ended(self) -> bool:
        return self.code is not None

    def listen(self) -> None:
        """Take in a line; the end of the output is the end of the run."""
        line = self.output.readline()
        if line:
            self.step, self.success = json.loads(line)
        else:
            self.output.close()
            self.code = self._process.wait()

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def summary(self) -> str:
        took = _hours(time.monotonic() - self._begin)
        if self.code != 0:
            last = (self.log.read_text(errors="replace").splitlines() or ["said nothing"])[-1]
            return f"{self.wanted.cell}: FAILED with code {self.code} ({last}; see {self.log})"
        return f"{self.wanted.cell}: {self.success:.2f} at step {self.step}, took {took}"


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PorlError(f"{folder}: another runner is at work there; wait for it") from None
        yield
    finally:
        os.close(descriptor)


def _say(line: str) -> None:
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _hours(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60} h {minutes % 60:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"
