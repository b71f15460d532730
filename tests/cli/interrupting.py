"""Ctrl-C at a point that is told beforehand: one process imports everything once, and every command
is a fork of it, in a session of its own and with all its real processes."""

import atexit
import ctypes
import gc
import json
import os
import pkgutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36


class Ended(NamedTuple):
    """How a command ended, what it said, and whether a process was left."""

    code: int
    said: str
    left: bool


class Interrupting:
    """The process that forks. A context manager."""

    def __init__(self):
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

    def __call__(self, folder: Path, at: str, calls: int, *arguments: object) -> Ended:
        """Run the command; a function (`package.module:Class.name`) that is called the n-th time
        presses Ctrl-C, as a terminal does: for all processes of the session."""
        wanted = {"folder": str(folder), "at": at, "calls": calls}
        wanted["arguments"] = list(map(str, arguments))
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        assert answer, "the process that forks has ended"
        return Ended(**json.loads(answer))

    def __enter__(self) -> "Interrupting":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(60.0)
        self._process.stdout.close()


def serve() -> None:
    """Fork for every line, and tell how that ended. Whoever is orphaned becomes our child."""
    _import_everything()
    gc.freeze()  # a fork that ends does not look through all of it once more
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)
    for line in sys.stdin:
        wanted = json.loads(line)
        output = Path(wanted["folder"]) / "output"
        child = os.fork()
        if child == 0:
            os.setsid()
            _redirect(output)
            _end(_run(wanted))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(json.dumps({"code": code, "said": output.read_text(), "left": _left()}), flush=True)


def _import_everything() -> None:
    import porl_ros.cli as cli

    for module in pkgutil.iter_modules(cli.__path__):
        if module.name != "__main__":
            pkgutil.resolve_name(f"porl_ros.cli.{module.name}")


def _redirect(output: Path) -> None:
    with open(output, "wb") as file, open(os.devnull) as nothing:
        for number, stream in enumerate((nothing, file, file)):
            os.dup2(stream.fileno(), number)


def _run(wanted: dict) -> int:
    from porl_ros.cli.main import main

    os.chdir(wanted["folder"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["porl", *wanted["arguments"]]
    _interrupt_at(wanted["at"], wanted["calls"])
    return main()


def _end(code: int) -> None:
    """As the interpreter ends, but for the libraries of ROS: their clean-up looks for a thread that
    a fork does not have, and crashes. A user's command is no fork."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    os._exit(code)


def _interrupt_at(name: str, calls: int) -> None:
    owner, _, last = name.replace(":", ".").rpartition(".")
    holder = pkgutil.resolve_name(owner)
    real, left = getattr(holder, last), [calls]

    def function(*args, **kwargs):
        left[0] -= 1
        if left[0] == 0:
            os.killpg(0, signal.SIGINT)
        return real(*args, **kwargs)

    setattr(holder, last, function)


def _left() -> bool:
    """Whether there is a child, or a child's child, that is still running."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass  # one that had ended
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    serve()
