"""The `porl` command as a user runs it: arguments in, exit code and texts out."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from porl_ros.cli.main import main


class Said(NamedTuple):
    """What the command left on the terminal."""

    code: int
    out: str
    err: str


class Porl:
    """Runs the command in this process, which saves the seconds of starting another."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
        self._monkeypatch, self._capsys = monkeypatch, capsys
        monkeypatch.setenv("COLUMNS", "200")

    def __call__(self, *arguments: object) -> Said:
        self._monkeypatch.setattr(sys, "argv", ["porl", *map(str, arguments)])
        self._capsys.readouterr()
        return Said(main(), *self._capsys.readouterr())

    def fails(self, *arguments: object) -> str:
        """The one line that tells what is wrong."""
        said = self(*arguments)
        assert said.code == 1, said
        (line,) = said.err.strip().splitlines()
        assert line.startswith("error: ")
        return line


def start(*arguments: object, folder: Path) -> subprocess.Popen:
    """The command in a process and a session of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "porl_ros.cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        start_new_session=True,
        # A suite that a shell runs in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
