"""Nodes as processes, for where there is no `ros2 launch`. None outlives its parent."""

import ctypes
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import yaml

from porl_ros.errors import PorlError
from porl_ros.nodes.bringup.description import NodeSpec

PR_SET_PDEATHSIG = 1
GRACE = 15.0  # seconds from the polite signal to the rude one


class ProcessDied(PorlError):
    """A node ended that should have gone on."""


class NodeProcesses:
    """Starts nodes, watches them, and ends them in the reverse order. Use as a context manager."""

    def __init__(
        self, specs: list[NodeSpec], folder: Path, namespace: str = "", log_level: str = "info"
    ):
        """Parameters and logs of each node are kept in `folder`."""
        self._specs, self._folder = specs, folder
        self._namespace, self._log_level = namespace, log_level
        self._children: dict[str, subprocess.Popen] = {}

    def __enter__(self) -> Self:
        try:
            for spec in self._specs:
                self.start(spec)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, spec: NodeSpec) -> subprocess.Popen:
        """Start (or start again) one node."""
        self._folder.mkdir(parents=True, exist_ok=True)
        parameters = self._folder / f"{spec.key}.yaml"
        content = {"/**": {"ros__parameters": spec.parameters}}
        parameters.write_text(yaml.safe_dump(content, sort_keys=False))
        command = [sys.executable, "-m", f"porl_ros.nodes.{spec.executable}", "--ros-args"]
        command += ["--params-file", str(parameters), "--log-level", self._log_level]
        if namespace := spec.namespace_in(self._namespace):
            command += ["-r", f"__ns:=/{namespace}"]
        for name, target in spec.remaps_in(self._namespace):
            command += ["-r", f"{name}:={target}"]
        with open(self._folder / f"{spec.key}.log", "ab") as log:
            child = subprocess.Popen(
                command,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        self._children[spec.key] = child
        return child

    def check(self) -> None:
        """ProcessDied with the end of its log when a node is gone."""
        for name, child in self._children.items():
            if child.poll() is not None:
                raise ProcessDied(
                    f"the {name} node ended with code {child.returncode}; "
                    f"its log {self.log_path(name)} ends with:\n{self.log_tail(name)}"
                )

    def log_path(self, name: str) -> Path:
        """Where a node's output goes."""
        return self._folder / f"{name}.log"

    def log_tail(self, name: str, lines: int = 12) -> str:
        """The end of a node's output."""
        return "\n".join(self.log_path(name).read_text(errors="replace").splitlines()[-lines:])

    def kill(self, name: str) -> None:
        """SIGKILL one node, for tests of what happens then."""
        child = self._children.pop(name)
        child.kill()
        child.wait()

    def interrupt(self, name: str) -> None:
        """Ask one node to end; `stop` waits for it."""
        self._children[name].send_signal(signal.SIGINT)

    def stop(self) -> dict[str, int]:
        """End all nodes, the last started first: politely, then not; returns their exit codes."""
        codes = {}
        for name, child in reversed(list(self._children.items())):
            if child.poll() is None:
                child.send_signal(signal.SIGINT)
            codes[name] = _wait(child)
        self._children.clear()
        return codes


def _wait(child: subprocess.Popen) -> int:
    deadline = time.monotonic() + GRACE
    while True:
        try:
            return child.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
        except KeyboardInterrupt:
            continue  # a second Ctrl-C must not leave a process behind


def die_with_parent() -> None:
    """For `preexec_fn`: SIGTERM when the parent ends, however it does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
