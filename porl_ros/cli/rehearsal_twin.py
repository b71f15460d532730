"""The twin of a rehearsal while it runs: what is waited for, and what is asked of it."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from porl_ros.cli.terminal import lines
from porl_ros.errors import PorlError
from porl_ros.nodes.bringup.description import NodeSpec
from porl_ros.nodes.bringup.processes import NodeProcesses
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.policy.bundle import load_bundle
from porl_ros.validation import audit
from porl_ros.validation.trials import BEGUN


class Unexpected(PorlError):
    """The story took another turn than it must."""


class Running:
    """Processes, and what they say. A context manager; whatever takes longer than `patience`
    seconds is Unexpected, and a process that ends ProcessDied."""

    def __init__(self, specs: list[NodeSpec], folder: Path, patience: float):
        self._nodes, self._patience = NodeProcesses(specs, folder), patience

    def __enter__(self) -> Self:
        with ExitStack() as held:
            held.enter_context(self._nodes)
            self.monitor = held.enter_context(Monitor())
            self._held = held.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def wait(self, condition: Callable[[], object], what: str) -> None:
        """Until the condition holds."""
        wanted = lambda: bool(condition())  # noqa: E731
        if not self.monitor.wait_for(wanted, self._patience, self._nodes.check):
            raise Unexpected(f"waited {self._patience:g} s for {what} in vain")

    def let_act(self, episodes: int) -> None:
        """Until so many have ended."""
        goal = self.monitor.episodes + episodes
        self.wait(lambda: self.monitor.episodes >= goal, "episodes")

    def call(self, service: str) -> None:
        """Have a service do what it does."""
        answer = self.monitor.trigger(service, self._patience)
        self._nodes.check()
        if answer is None or not answer.success:
            raise Unexpected(f"{service}: {answer.message if answer else 'nobody answered'}")
        lines.print(f"{service}: {answer.message}")

    def verdict(self, bundle: Path) -> str:
        """Of the trial of this bundle, when it is over."""
        manifest = load_bundle(bundle).manifest
        wanted = manifest.version, manifest.weights_sha256

        def found() -> list[dict]:
            return [e for e in ended_trials() if (e["version"], e["weights_sha256"]) == wanted]

        self.wait(found, f"the trial of version {manifest.version}")
        entry = found()[0]
        lines.print(f"version {manifest.version}: {entry['event']}: {entry['why']}")
        return entry["event"]


def ended_trials() -> list[dict]:
    """What the audit log has of trials that are over."""
    return [e for e in audit.read() if "acting_version" in e and e["event"] != BEGUN]
