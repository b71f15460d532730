"""The checkpoints of one run: the newest two, written beside the training, never half of one."""

import fcntl
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from threading import Thread
from typing import Any

from porl_ros.learning.books import State
from porl_ros.learning.checkpoint import (
    Checkpoint,
    CheckpointError,
    read_books,
    read_checkpoint,
    read_index,
    write_checkpoint,
)
from porl_ros.policy.files import remove_folder, remove_leftovers
from porl_ros.replay.disk.layout import set_aside

log = logging.getLogger(__name__)

KEEP = 2


class Checkpoints:
    """A folder of them, which one learner has for itself. One thread; `save` writes in another."""

    def __init__(self, folder: Path, made_for: Mapping[str, Any]):
        """`made_for`: what tells this run from others. Raises CheckpointError when another learner
        is at work in the folder, or it cannot be made."""
        self._folder, self._made_for = folder, made_for
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(folder)
        except OSError as error:
            raise CheckpointError(
                f"{folder}: cannot be used: {error.strerror}; make it writable, or name another "
                "output folder"
            ) from None
        remove_leftovers(folder)
        self._writing: Thread | None = None

    def newest(self, like: State) -> Checkpoint | None:
        """The newest one that is sound, for a learner whose state is `like` that; None without any.

        A damaged one is set aside, loudly. Raises CheckpointMismatch when they are another run's,
        CheckpointError when there are some and none is sound.
        """
        damaged: dict[Path, CheckpointError] = {}
        for path in reversed(self._paths()):
            try:
                found = read_checkpoint(path, self._made_for, like)
            except CheckpointError as error:
                damaged[path] = error
                continue
            for bad, error in damaged.items():  # its place is needed once it is come to again
                log.error("learner: %s; set aside, going on from %s", error, found.path.name)
                set_aside(bad)
            return found
        if not damaged:
            return None
        raise CheckpointError(
            f"{self._folder}: no checkpoint can be used: {'; '.join(map(str, damaged.values()))}. "
            "Put one right, or remove them all: then the whole store is learned from again"
        )

    def save(self, state: State) -> bool:
        """Copy a state and have it written; False when the last one is still being written, or
        there is nothing new. Takes as long as copying, milliseconds.

        A disk that is full is told, and tried again by the next call.
        """
        path, begun = self._folder / _name(state), state.books["trainer"]["env_steps"] > 0
        if not begun or path.exists() or (self._writing and self._writing.is_alive()):
            return False
        copies = {
            part: {name: tensor.detach().to("cpu", copy=True) for name, tensor in tensors.items()}
            for part, tensors in state.tensors.items()
        }
        arguments = path, State(copies, state.books)
        self._writing = Thread(target=self._write, args=arguments, name="checkpoint", daemon=True)
        self._writing.start()
        return True

    def _write(self, path: Path, state: State) -> None:
        try:
            write_checkpoint(path, self._made_for, state)
            for old in self._paths()[:-KEEP]:
                remove_folder(old)
        except OSError as error:
            log.error("learner: %s: no checkpoint written, learning goes on: %s", path, error)

    def finish(self) -> None:
        """Wait until what is being written is written."""
        if self._writing:
            self._writing.join()

    def close(self) -> None:
        """Finish, and leave the folder to others. Harmless when repeated."""
        self.finish()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _paths(self) -> list[Path]:
        """From the oldest to the newest."""
        return sorted(path for path in self._folder.glob("[0-9]*-*") if path.suffix == "")


def _name(state: State) -> str:
    """Sorts by progress."""
    steps, updates = state.books["trainer"]["env_steps"], state.books["porl"]["critic_updates"]
    return f"{steps:09d}-{updates:09d}"


def _lock(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise CheckpointError(
            f"{folder}: another learner is at work here; end it, or name another output folder"
        ) from None
    return descriptor


def versions_resumed_from(folder: Path) -> set[int]:
    """The policy versions that a learner would go on from; none where there is no checkpoint.

    Raises CheckpointError for one that cannot be read."""
    paths = [path for path in folder.glob("[0-9]*-*") if path.suffix == ""]
    return {read_books(path, read_index(path)).run.version for path in paths}
