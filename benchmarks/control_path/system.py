"""The processes of a measurement: who answers the robot, and a learner that trains meanwhile."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from porl_ros.nodes.bringup.description import NodeSpec
from porl_ros.nodes.bringup.processes import NodeProcesses, die_with_parent
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.paths import resolve_robot_config
from porl_ros.policy.bundle import save_bundle
from porl_ros.policy.network import Actor
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.env import RobotEnv

ROBOT = "ur5e_insert"
# As much training as a core can do: it never runs out of rows.
LEARNER = {
    "presample_steps": 1000, "warmup_mc_updates": 250, "warmup_td_updates": 250,
    "total_steps": 100_000_000, "utd": 64,
}  # fmt: skip


class Bench:
    """A robot of the default contract at another rate, with a policy that knows nothing."""

    def __init__(self, folder: Path, rate: float, horizon: int, priority: int = 0):
        folder.mkdir()
        self.priority = priority  # of those who answer the robot
        self.folder, self.store = folder, folder / "store"
        self._path, self.base = folder / "robot.yaml", folder / "base"
        content = yaml.safe_load(resolve_robot_config(ROBOT).read_text())
        content["control_rate"], content["episode"]["horizon"] = rate, horizon
        self._path.write_text(yaml.safe_dump(content))
        self.config: RobotConfig = load_robot(self._path)
        env = RobotEnv(self.config)
        actor = Actor(env.observation_space.shape[0], env.action_space.shape[0])
        save_bundle(
            self.base, actor, self.config.contract, made_by="bench", version=0, exploration_std=0.2
        )

    @contextmanager
    def policy(self, mode: str) -> Iterator[NodeProcesses]:
        """The policy node, in the namespace `policy`; it records, and hears of no learner."""
        own = {"realtime_priority": self.priority}
        own |= {"bundle": str(self.base), "store": str(self.store), "mode": mode}
        own |= {"robot_config": str(self._path), "learner": False, "device": "cpu"}
        spec = NodeSpec("policy_node", "policy", own)
        with NodeProcesses([spec], self.folder / "nodes", namespace="policy") as nodes:
            yield nodes

    @contextmanager
    def learner(self) -> Iterator["Learner"]:
        """The fine-tuning node at work on what the policy node records."""
        settings = self.folder / "learner.yaml"
        settings.write_text(yaml.safe_dump(LEARNER))
        own = {"bundle": str(self.base), "store": str(self.store), "mode": "paced"}
        own |= {"robot_config": str(self._path), "output": str(self.folder / "out")}
        own |= {"learner_config": str(settings), "device": "cpu"}
        spec = NodeSpec("finetune_node", "finetune", own)
        folder = self.folder / "learner"
        with (
            NodeProcesses([spec], folder, namespace="learning") as nodes,
            Monitor("learning") as monitor,
        ):
            yield Learner(nodes, monitor)


class Learner:
    """Says how much was learned."""

    def __init__(self, nodes: NodeProcesses, monitor: Monitor):
        self._nodes, self._monitor = nodes, monitor

    @property
    def updates(self) -> int:
        """Gradient steps so far, not older than half a second."""
        deadline = time.monotonic() + 0.6
        while time.monotonic() < deadline:
            self._nodes.check()
            self._monitor.spin_once(0.1)
        return int(self._monitor.learner.get("gradient_steps", 0))


@contextmanager
def echo(priority: int) -> Iterator[None]:
    """The bare echo, in the namespace `echo`."""
    command = [sys.executable, "-m", "benchmarks.control_path.echo", str(priority)]
    command += ["--ros-args", "-r", "__ns:=/echo"]
    child = subprocess.Popen(command, preexec_fn=die_with_parent)
    try:
        yield
    finally:
        child.terminate()
        child.wait(10.0)
