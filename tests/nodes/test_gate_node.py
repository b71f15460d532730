"""The gate beside a learner: what it judges, announces, leaves beside the bundles; and its end."""

import json
import time
from pathlib import Path

import pytest
import yaml
from running import System
from std_msgs.msg import String

from porl_ros.nodes import messages
from porl_ros.nodes.bringup.description import NodeSpec
from porl_ros.nodes.bringup.processes import NodeProcesses
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.paths import resolve_robot_config
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.robot.loading import load_robot
from porl_ros.validation.admission import verify
from porl_ros.validation.record import record_path, report_path

pytestmark = pytest.mark.slow


@pytest.fixture
def robot(tmp_path, monkeypatch) -> Path:
    """The shipped robot where its policy was cloned, by a rule that it meets."""
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "site.key"))
    content = yaml.safe_load(resolve_robot_config("ur5e_insert").read_text())
    content["simulation"]["variant"] = "calibrated"
    content["gate"]["rule"] |= {"success": 0.25, "margin": 0.3, "least": 20}
    path = tmp_path / "robot.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def version_of(base: Path, path: Path, version: int, factor: float = 1.0) -> Path:
    """As a learner might have made it; `factor` -1 turns every action round."""
    bundle = load_bundle(base)
    last = bundle.actor.layers[-1]
    last.weight.data *= factor
    last.bias.data *= factor
    save_bundle(path, bundle.actor, bundle.manifest.contract, made_by="a test", version=version,
                exploration_std=0.1)  # fmt: skip
    return path


def test_candidates_are_judged_and_only_good_ones_announced(tmp_path, base, robot):
    good = version_of(base, tmp_path / "bundles" / "000001", 1)
    bad = version_of(base, tmp_path / "bundles" / "000002", 2, -1.0)
    spec = NodeSpec("gate_node", "gate", {"robot_config": str(robot)})
    with NodeProcesses([spec], tmp_path / "nodes") as nodes, Monitor() as monitor:
        system, said, admitted = System(tmp_path, nodes, monitor), [], []
        for topic, heard in (("gate/status", said), ("gate/admitted", admitted)):
            monitor.node.create_subscription(
                String, topic, lambda m, heard=heard: heard.append(json.loads(m.data)),
                messages.LATCHED_EVENTS,
            )  # fmt: skip
        offer = monitor.node.create_publisher(String, "learner/bundle", messages.LATCHED_EVENTS)

        def decide(text: str) -> dict:
            before = len(said)
            offer.publish(String(data=text))
            system.wait_for(lambda: len(said) > before)
            return said[-1]

        for path, decision in ((good, "admitted"), (bad, "refused")):
            verdict = decide(json.dumps({"path": str(path)}))
            assert (verdict["path"], verdict["decision"]) == (str(path), decision), verdict
            assert record_path(path).is_file()
            assert report_path(path).is_file()
        assert decide(json.dumps({"path": str(tmp_path / "no")}))["decision"] is None
        judged_at = record_path(good).stat().st_mtime_ns
        assert decide(json.dumps({"path": str(good)}))["decision"] == "admitted"
        assert record_path(good).stat().st_mtime_ns == judged_at  # it is known already
        system.wait_for(lambda: len(admitted) == 2)
        assert {a["path"] for a in admitted} == {str(good)}
        verify(good, load_robot(robot), candidate=True)
        workers = _workers(tmp_path)
        assert workers
        nodes.kill("gate")
        deadline = time.monotonic() + 20.0
        while any(Path(f"/proc/{pid}").exists() for pid in workers):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _workers(folder: Path) -> list[int]:
    """Processes that the gate has begun: they have inherited where its key lies."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            inside = str(folder / "site.key").encode() in (path / "environ").read_bytes()
            if inside and b"spawn_main" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
        except OSError:  # ended meanwhile, or not ours
            continue
    return found
