"""What a disk may hold after the power failed: only what was synced, and whatever else it likes.

`Recorder` notes, in order, everything that this process writes below a folder. `Disk` replays the
notes up to a cut and builds a state that POSIX allows then:

- A file holds what had been written when the last fsync or fdatasync that returned was called.
  Of later writes it holds nothing, everything, or a random part whose end may be torn or zeros.
- A folder has the names that it had when its last fsync that returned was called. Of later
  changes (create, rename, unlink) none, all, or a random number of the first have happened. A
  rename within a folder is atomic. Folders and files are independent of each other.

Not covered: a disk that loses or tears what it said was synced (CRCs find that; see the tests of
damage), changes within one folder that become durable out of their order, and writing at an offset,
truncating, mapping and linking, which the recorder refuses because the store does none of them.
"""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

REFUSED = ("pwrite", "pwritev", "truncate", "ftruncate", "link", "symlink", "sendfile", "splice")


class Note(NamedTuple):
    """Something that had happened. `since`: how many notes there were when it was begun."""

    kind: str  # create, write, sync, name, mark
    since: int
    file: int  # number of the file or folder that it happened to
    what: Any = None


class Recorder:
    """Notes what is written below `root`, by any thread of this process, while it is active."""

    def __init__(self, root: Path):
        self.root = root
        self.notes: list[Note] = []
        self._files: dict[int, int] = {}  # number of the file that now has an inode
        self._within = threading.local()
        self._real: dict[str, Any] = {}
        self._add(root)
        for path in sorted(root.rglob("*")):  # what was there before has long been synced
            self._add(path)
        self.begun = len(self.notes)  # the first note of what is recorded

    def _add(self, path: Path) -> None:
        number = self._create(os.stat(path).st_ino, path.is_dir())
        if path != self.root:
            self._note("name", self._file(path.parent), {path.name: number})
        if path.is_file():
            self._note("write", number, path.read_bytes())
        for synced in {number, self._file(path.parent) if path != self.root else number}:
            self._note("sync", synced)

    def mark(self, what: Any) -> None:
        """Note something of the test's own."""
        self._note("mark", -1, what)

    def _note(self, kind: str, file: int, what: Any = None, since: int | None = None) -> None:
        self.notes.append(Note(kind, len(self.notes) if since is None else since, file, what))

    def _create(self, inode: int, folder: bool) -> int:
        number = self._files[inode] = len(self.notes)
        self._note("create", number, folder)
        return number

    def _file(self, path: Any) -> int:
        return self._files[(os.fstat if isinstance(path, int) else os.stat)(path).st_ino]

    def _parent(self, path: Any, folder: int | None) -> tuple[Any, str]:
        """The folder that a name is in, and the name; None if it is not below the root."""
        path = Path(os.fsdecode(path))
        if folder is not None:
            path = Path(os.readlink(f"/proc/self/fd/{folder}")) / path
        inside = path.absolute().is_relative_to(self.root) and path != self.root
        return (path.parent if inside else None), path.name

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        """Record until the block ends."""
        names = ("open", "write", "writev", "fsync", "fdatasync", "mkdir", "rename", "unlink")
        names += ("rmdir", "remove", "replace", *REFUSED)
        self._real = {name: getattr(os, name) for name in names}
        wrapped = {name: getattr(self, f"_{name}") for name in names[:8]}
        wrapped |= {"rmdir": self._unlink, "remove": self._unlink, "replace": self._rename}
        watching = [True]
        sys.addaudithook(lambda event, args: watching[0] and self._audit(event, args))
        try:
            for name in names:
                setattr(os, name, wrapped.get(name) or self._refusing(name))
            yield
        finally:
            watching[0] = False
            for name, function in self._real.items():
                setattr(os, name, function)

    def _audit(self, event: str, args: tuple) -> None:
        """Refuse what would be written past the recorder."""
        if event != "open" or getattr(self._within, "open", False) or isinstance(args[0], int):
            return
        if args[2] & (os.O_WRONLY | os.O_RDWR) and self._parent(args[0], None)[0]:
            raise AssertionError(f"{args[0]} is opened for writing past the recorder")

    def _refusing(self, name: str) -> Any:
        def refuse(*args: Any, **options: Any) -> Any:
            raise AssertionError(f"os.{name} is not recorded")

        return refuse

    def _open(self, path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        parent, name = self._parent(path, dir_fd)
        new = bool(flags & os.O_CREAT and parent) and not (parent / name).exists()
        self._within.open = True
        try:
            descriptor = self._real["open"](path, flags, mode, dir_fd=dir_fd)
        finally:
            self._within.open = False
        if new:
            number = self._create(os.fstat(descriptor).st_ino, False)
            self._note("name", self._file(parent), {name: number})
        elif parent and flags & os.O_TRUNC:
            raise AssertionError(f"{path} is truncated, which is not recorded")
        return descriptor

    def _written(self, descriptor: int, data: bytes) -> int:
        if os.fstat(descriptor).st_ino in self._files:
            self._note("write", self._file(descriptor), data)
        return len(data)

    def _write(self, descriptor: int, data: Any) -> int:
        return self._written(descriptor, bytes(data)[: self._real["write"](descriptor, data)])

    def _writev(self, descriptor: int, parts: Any) -> int:
        data = b"".join(bytes(part) for part in parts)
        return self._written(descriptor, data[: self._real["writev"](descriptor, parts)])

    def _fsync(self, descriptor: int) -> None:
        since = len(self.notes)
        self._real["fsync"](descriptor)
        if os.fstat(descriptor).st_ino in self._files:
            self._note("sync", self._file(descriptor), since=since)

    _fdatasync = _fsync

    def _mkdir(self, path: Any, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        parent, name = self._parent(path, dir_fd)
        self._real["mkdir"](path, mode, dir_fd=dir_fd)
        if parent:
            number = self._create(os.stat(parent / name).st_ino, True)
            self._note("name", self._file(parent), {name: number})

    def _rename(self, source: Any, target: Any) -> None:
        (parent, old), (other, new) = self._parent(source, None), self._parent(target, None)
        assert parent == other, f"{source} is renamed into another folder, which is not recorded"
        number = self._file(source) if parent else -1
        self._real["rename"](source, target)
        if parent:
            self._note("name", self._file(parent), {old: None, new: number})

    def _unlink(self, path: Any, *, dir_fd: int | None = None) -> None:
        parent, name = self._parent(path, dir_fd)
        folder = parent and (parent / name).is_dir()
        self._real["rmdir" if folder else "unlink"](path, dir_fd=dir_fd)
        if parent:
            self._note("name", self._file(parent), {name: None})


@dataclass
class _File:
    folder: bool
    synced: int = 0  # notes before this one are durable
    changes: list[tuple[int, Any]] = field(default_factory=list)  # (note, bytes or names)


class Disk:
    """What was written up to a cut. `files[0]` is the recorder's root."""

    def __init__(self, notes: list[Note], cut: int):
        self._files: dict[int, _File] = {}
        for at, note in enumerate(notes[:cut]):
            if note.kind == "create":
                self._files[note.file] = _File(note.what)
            elif note.kind == "sync":
                file = self._files[note.file]
                file.synced = max(file.synced, note.since)
            elif note.kind != "mark":
                self._files[note.file].changes.append((at, note.what))

    def build(self, target: Path, fate: str, random: np.random.Generator) -> None:
        """Make the state in a new folder. `fate` of what was not synced: lost, kept or random."""
        self._build(target, self._files[0], fate, random)

    def _build(self, path: Path, file: _File, fate: str, random: np.random.Generator) -> None:
        durable = [change for at, change in file.changes if at < file.synced]
        loose = [change for at, change in file.changes if at >= file.synced]
        survive = {"lost": 0, "kept": len(loose)}.get(fate, int(random.integers(len(loose) + 1)))
        if not file.folder:
            torn = b"".join(loose[survive:])
            torn = torn[: random.integers(len(torn) + 1)] if fate == "random" else b""
            zeros = bytes(len(torn)) if random.integers(2) else torn
            path.write_bytes(b"".join(durable + loose[:survive]) + zeros)
            return
        path.mkdir()
        names: dict[str, int | None] = {}
        for change in durable + loose[:survive]:
            names |= change
        for name, number in names.items():
            if number is not None:
                self._build(path / name, self._files[number], fate, random)
