"""Robots in processes of their own, that record until they are ended."""

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

CHILD = Path(__file__).with_name("crash_child.py")
ROOT = CHILD.parents[2]


class Line(NamedTuple):
    """What a robot said after a row."""

    rows: int
    acknowledged: int
    time: int  # ns


class Robot:
    """A process that records; ended when the block is left."""

    def __init__(self, store: Path, robot: str, *options: float, silent: bool = False):
        """`options`: what the child takes after the robot's name. `silent`: unheard."""
        path = os.pathsep.join([str(ROOT), str(CHILD.parent)])
        self.lines: list[Line] = []
        self.process = subprocess.Popen(
            [sys.executable, str(CHILD), str(store), robot, *map(str, options)],
            stdout=subprocess.DEVNULL if silent else subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": path},
        )

    def listen(self) -> Line:
        """Wait for the next row. Raises EOFError when the robot has ended."""
        line = self.process.stdout.readline()
        if not line.endswith(b"\n"):  # cut short
            raise EOFError
        self.lines.append(Line(*map(int, line.split())))
        return self.lines[-1]

    def kill(self) -> Line:
        """kill -9; the last thing that it said."""
        self.process.kill()
        try:
            while True:
                self.listen()
        except EOFError:
            return self.lines[-1]

    def waited(self, rows: int) -> float:
        """How long the first row that is not among `rows` had waited at the end [s]."""
        lost = [line for line in self.lines if line.rows > rows]
        return (lost[-1].time - lost[0].time) / 1e9 if lost else 0.0

    def __enter__(self) -> "Robot":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout:
            self.process.stdout.close()
