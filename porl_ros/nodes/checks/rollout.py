"""A policy in the loop: gate, simulation and policy node as real processes, over DDS.

For tests and for the CI of whoever has a robot config. Everything is done in one folder: the gate
judges a copy of the policy there, with a site key and an audit log of its own, so that nothing of
this site is touched, and an admission made here counts nowhere else.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from std_msgs.msg import String

from porl_ros.errors import ConfigError, PorlError
from porl_ros.nodes import messages
from porl_ros.nodes.bringup.description import SimulationBringup, ValidationBringup
from porl_ros.nodes.bringup.processes import NodeProcesses
from porl_ros.nodes.graph import private_domain
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.policy.bundle import load_bundle
from porl_ros.replay import Episode, ReplayReader
from porl_ros.replay.errors import StoreMissing
from porl_ros.replay.tools.episodes import episodes as episodes_of
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot
from porl_ros.validation import audit, site_key
from porl_ros.validation.admission import NotAdmitted
from porl_ros.validation.evaluation import wilson

LOOK = 0.2  # s between two looks at the store


class TookTooLong(PorlError):
    """It was not done in the time that it was given."""


class Rollout(NamedTuple):
    """What came of it: `episodes` as the policy node recorded them, in their order, what the gate
    said, None where it was not asked, and the folder with everything."""

    episodes: tuple[Episode, ...]
    gate: dict | None
    folder: Path

    @property
    def success(self) -> float:
        """Share of the episodes."""
        return sum(one.success for one in self.episodes) / len(self.episodes)

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the success."""
        return wilson(sum(one.success for one in self.episodes), len(self.episodes))


def roll_out(
    robot: str | Path, bundle: Path, folder: Path, *, episodes: int = 20, gate: bool = True,
    variant: str = "", seed: int = 0, timeout: float = 300.0,
) -> Rollout:  # fmt: skip
    """Have the gate judge a policy, then run it for so many episodes in lock-step.

    `folder` gets a copy of the policy with its record and report, the replay store, and the logs
    of the nodes. `gate`: without it a policy is run that need not be admitted. `variant`: cell of
    the scene; empty: the robot config's. `timeout` [s] is for all of it; however it ends, no
    process is left. Raises NotAdmitted when the gate refuses it, TookTooLong, ProcessDied, and
    PorlError for whatever does not fit together.
    """
    if episodes < 1:
        raise ConfigError(f"episodes = {episodes}: must be 1 or more, or nothing is shown")
    config, deadline = load_robot(robot), time.monotonic() + timeout
    load_bundle(bundle, config)
    folder.mkdir(parents=True, exist_ok=True)
    copy = shutil.copytree(bundle, folder / "policy")
    private_domain()
    with _own_site(folder):
        judged = _judge(str(robot), copy, folder / "gate", deadline) if gate else None
        done = _act(config, episodes, deadline, folder, SimulationBringup(
            robot_config=str(robot), bundle=str(copy), store=str(folder / "store"),
            variant=variant, seed=seed, learner=False,
        ), gate)  # fmt: skip
    return Rollout(done, judged, folder)


@contextmanager
def _own_site(folder: Path) -> Iterator[None]:
    """A site key and an audit log in this folder, for this process and those that it starts."""
    own = {site_key.VARIABLE: "site.key", audit.VARIABLE: "audit.jsonl"}
    before = {name: os.environ.get(name) for name in own}
    os.environ.update({name: str(folder.resolve() / file) for name, file in own.items()})
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


def _judge(robot: str, bundle: Path, logs: Path, deadline: float) -> dict:
    """What the gate node says of the bundle when it is offered one, as by a learner."""
    said: list[dict] = []
    workers = os.cpu_count() or 1
    specs = ValidationBringup(robot_config=robot, workers=workers).nodes()
    with NodeProcesses(specs, logs) as nodes, Monitor() as monitor:
        monitor.node.create_subscription(
            String, "gate/status", lambda m: said.append(json.loads(m.data)),
            messages.LATCHED_EVENTS,
        )  # fmt: skip
        offer = monitor.node.create_publisher(String, "learner/bundle", messages.LATCHED_EVENTS)
        offer.publish(String(data=json.dumps({"path": str(bundle.resolve())})))
        left = deadline - time.monotonic()
        if not monitor.wait_for(lambda: bool(said), left, nodes.check):
            raise _too_long("the gate has not decided", nodes, "gate")
    if said[0]["decision"] is None:
        raise PorlError(f"the gate could not judge it: {said[0]['why']}")
    if said[0]["decision"] != "admitted":
        raise NotAdmitted("refused", f"the gate refuses it: {said[0]['why']}")
    return said[0]


def _act(
    config: RobotConfig, wanted: int, deadline: float, folder: Path,
    bringup: SimulationBringup, gate: bool,
) -> tuple[Episode, ...]:  # fmt: skip
    simulation, policy = bringup.nodes()
    if gate:
        policy = policy._replace(parameters=policy.parameters | {"gate": "initial"})
    store, chunks, reader = Path(bringup.store), [], None
    with NodeProcesses([simulation, policy], folder / "nodes") as nodes, ExitStack() as readers:
        while len(done := episodes_of(chunks)) < wanted:
            if time.monotonic() > deadline:
                raise _too_long(f"{len(done)} of {wanted} episodes are done", nodes, "policy")
            nodes.check()
            time.sleep(LOOK)
            if reader is None and (reader := _reader(store, config)):
                readers.enter_context(reader)
            chunks += reader.poll() if reader else []
    return tuple(done[:wanted])


def _reader(store: Path, config: RobotConfig) -> ReplayReader | None:
    """None until the policy node has made its store."""
    try:
        return ReplayReader(store, config.contract_hash)
    except StoreMissing:
        return None


def _too_long(text: str, nodes: NodeProcesses, name: str) -> TookTooLong:
    return TookTooLong(
        f"time is up, and {text}; give it more, or look what the {name} node says:\n"
        f"{nodes.log_tail(name)}"
    )
