"""A system that runs: real processes, a real graph, and what they leave behind."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import yaml
import zarr
from graphs import own_graph

from porl_ros.nodes.bringup.description import NodeSpec, SimulationBringup
from porl_ros.nodes.bringup.processes import NodeProcesses
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.paths import resolve_robot_config

START = 120.0  # seconds for the nodes to come up and find each other, on a busy machine
# Stages in a few seconds; nothing here is long enough to become good at the task.
LEARNER = {
    "presample_steps": 150,
    "total_steps": 400,
    "warmup_mc_updates": 50,
    "warmup_td_updates": 50,
    "publish_every": 50,
}


class System(NamedTuple):
    """Handles on a running system."""

    folder: Path
    nodes: NodeProcesses
    monitor: Monitor
    specs: Mapping[str, NodeSpec] = MappingProxyType({})  # by name

    def wait_for(self, condition: Callable[[], bool], seconds: float = START) -> None:
        """Fail when the condition does not come about, or a node dies meanwhile."""
        assert self.monitor.wait_for(condition, seconds, self.nodes.check), self.state

    @property
    def state(self) -> str:
        """What there is to say when a test waits in vain."""
        monitor = self.monitor
        logs = "\n".join(path.read_text() for path in sorted((self.folder / "nodes").glob("*.log")))
        return f"{monitor.learner} steps {monitor.policy_steps} v{monitor.policy_version}\n{logs}"


@contextmanager
def running(
    folder: Path, bundle: Path, settings: dict | None = None, extra: dict | None = None,
    finetune: dict | None = None, namespace: str = "", **arguments,
) -> Iterator[System]:  # fmt: skip
    """Bring up what a user would, in `folder`.

    `settings` are the learner's, `extra` are parameters of the policy node, `finetune` those of the
    fine-tuning node, `arguments` those of the bring-up.
    """
    folder.mkdir(parents=True, exist_ok=True)
    learner_config = folder / "learner.yaml"
    learner_config.write_text(yaml.safe_dump(LEARNER | (settings or {})))
    bringup = SimulationBringup(
        bundle=str(bundle),
        store=str(folder / "store"),
        output=str(folder / "learner"),
        learner_config=str(learner_config),
        **arguments,
    )
    own = {"policy": extra or {}, "finetune": finetune or {}}
    specs = [_with(spec, own.get(spec.name, {})) for spec in bringup.nodes()]
    with (
        own_graph(),
        NodeProcesses(specs, folder / "nodes", namespace) as nodes,
        Monitor(namespace) as monitor,
    ):
        yield System(folder, nodes, monitor, {spec.name: spec for spec in specs})


def _with(spec: NodeSpec, own: dict) -> NodeSpec:
    return spec._replace(parameters=spec.parameters | own)


def write_config(path: Path, **sections: dict) -> Path:
    """The shipped robot with another judge, or another way to be reset."""
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    path.write_text(yaml.safe_dump(content | sections))
    return path


def read_rows(store: Path) -> dict[str, np.ndarray]:
    """All columns of a store as any Zarr reader sees them, runs and segments in order."""
    segments = sorted(store.glob("writers/*/*/segments/[0-9]*"))
    groups = [zarr.open_group(path, mode="r") for path in segments]
    names = [name for name in groups[0].array_keys() if not name.startswith("final_")]
    return {name: np.concatenate([group[name][...] for group in groups]) for name in names}


def checkpoints(folder: Path) -> list[tuple[int, int]]:
    """(environment steps, gradient steps) of those that a learner keeps, the oldest first."""
    names = os.listdir(folder / "learner" / "checkpoints")
    return sorted(tuple(map(int, n.split("-"))) for n in names if re.fullmatch(r"\d+-\d+", n))
