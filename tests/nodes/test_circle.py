"""The circle: three processes, one store, several policies. Two runs serve every test here."""

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from leftovers import processes_of
from running import LEARNER, System, read_rows, running

from porl_ros.learning.config import PorlConfig
from porl_ros.policy.bundle import Manifest, load_bundle
from porl_ros.replay import Actor

pytestmark = pytest.mark.slow

SETTINGS = PorlConfig(**LEARNER)
UNNAMED = "_NODE_NAME_UNKNOWN_"
# topic -> type, and the one node that publishes it
TOPICS = {
    "/joint_states": ("sensor_msgs/msg/JointState", "simulation"),
    "/socket_pose": ("geometry_msgs/msg/PoseStamped", "simulation"),
    "/clock": ("rosgraph_msgs/msg/Clock", "simulation"),
    "/forward_position_controller/commands": ("std_msgs/msg/Float64MultiArray", "policy"),
    "/policy/steps": ("std_msgs/msg/Int64", "policy"),
    "/policy/version": ("std_msgs/msg/Int64", "policy"),
    "/policy/episode_success": ("std_msgs/msg/Bool", "policy"),
    "/policy/success_rate": ("std_msgs/msg/Float64", "policy"),
    "/learner/bundle": ("std_msgs/msg/String", "finetune"),
    "/learner/grant": ("std_msgs/msg/Int64MultiArray", "finetune"),
    "/learner/status": ("std_msgs/msg/String", "finetune"),
    "/learner/metrics/utd": ("std_msgs/msg/Float64", "finetune"),
}


class Finished(NamedTuple):
    """What a run of the circle left behind."""

    folder: Path
    rows: dict[str, np.ndarray]
    status: dict
    graph: dict[str, tuple[list[str], list[str]]]
    codes: dict[str, int]
    stages: set[str]

    @property
    def bundles(self) -> list[Manifest]:
        paths = sorted((self.folder / "learner" / "bundles").iterdir())
        return [load_bundle(path).manifest for path in paths]


def run_circle(folder: Path, base: Path) -> Finished:
    stages = set()
    with running(folder, base, seed=3) as system:
        system.wait_for(lambda: graph_is_known(graph_of(system)))
        graph = graph_of(system)

        def finished() -> bool:
            stages.add(system.monitor.learner.get("stage"))
            return bool(system.monitor.learner.get("finished"))

        system.wait_for(finished, 200.0)
        status = system.monitor.learner
        codes = system.nodes.stop()
    return Finished(folder, read_rows(folder / "store"), status, graph, codes, stages)


def graph_is_known(graph: dict[str, tuple[list[str], list[str]]]) -> bool:
    """Discovery tells of a publisher first and of its node's name later."""
    named = all(UNNAMED not in nodes for _, nodes in graph.values())
    return named and set(graph) == set(TOPICS)


def graph_of(system: System) -> dict[str, tuple[list[str], list[str]]]:
    """Those of our topics that have a publisher: their types and who publishes."""
    node = system.monitor.node
    types = dict(node.get_topic_names_and_types())
    found = {}
    for topic in TOPICS:
        publishers = [info.node_name for info in node.get_publishers_info_by_topic(topic)]
        if publishers:
            found[topic] = types.get(topic), publishers
    return found


@pytest.fixture(scope="module")
def circle(tmp_path_factory, base) -> Finished:
    return run_circle(tmp_path_factory.mktemp("circle"), base)


@pytest.fixture(scope="module")
def again(tmp_path_factory, base) -> Finished:
    return run_circle(tmp_path_factory.mktemp("again"), base)


def test_three_processes_exchange_these_topics(circle):
    assert circle.graph == {topic: ([kind], [node]) for topic, (kind, node) in TOPICS.items()}


def test_nodes_leave_in_order_and_no_process_stays(circle):
    assert circle.codes == {"finetune": 0, "policy": 0, "simulation": 0}
    assert list(circle.codes) == ["finetune", "policy", "simulation"]
    assert processes_of(circle.folder) == []


def test_the_store_holds_exactly_the_steps_that_were_run(circle):
    rows, status = circle.rows, circle.status
    assert status["env_steps"] == SETTINGS.total_steps
    assert {len(column) for column in rows.values()} == {SETTINGS.total_steps}
    ends = (rows["terminated"] | rows["truncated"]).astype(bool)
    assert status["episodes"] == np.count_nonzero(ends[:-1])
    assert ends[-1]  # at the latest shutting down cuts the episode, and marks it
    following = np.where(ends[:-1], 0, rows["step"][:-1] + 1)
    assert np.array_equal(rows["step"][1:], following)
    assert np.array_equal(rows["episode"], np.concatenate([[0], np.cumsum(ends)[:-1]]))
    assert (np.diff(rows["stamp"]) > 0).all()


def test_every_row_names_the_policy_that_acted(circle):
    versions = circle.rows["policy_version"]
    assert (np.diff(versions) >= 0).all()
    assert set(versions[: SETTINGS.presample_steps]) == {0}
    assert len(set(versions)) > 2
    assert set(versions) <= {0} | {manifest.version for manifest in circle.bundles}


def test_what_was_executed_is_recorded_beside_what_was_asked(circle):
    asked, executed = circle.rows["requested_action"], circle.rows["action"]
    assert asked.std(0).min() > 0.05
    by_policy = circle.rows["actor"] == Actor.POLICY
    assert by_policy.mean() > 0.8
    assert np.array_equal(executed[by_policy], np.clip(asked[by_policy], -1.0, 1.0))
    assert (np.abs(executed) <= 1.0).all()


def test_the_update_ratio_asked_for_is_kept_and_reported(circle):
    status = circle.status
    online = SETTINGS.total_steps - SETTINGS.presample_steps
    warmup = SETTINGS.warmup_mc_updates + SETTINGS.warmup_td_updates
    assert status["utd"] == SETTINGS.utd
    assert status["gradient_steps"] == warmup + SETTINGS.utd * online
    assert status["forgiven_updates"] == 0
    assert circle.stages >= {"online", "finished"}


def test_bundles_say_what_they_were_trained_on(circle, base):
    parent = load_bundle(base).manifest
    first, every, utd = SETTINGS.presample_steps, SETTINGS.publish_every, SETTINGS.utd
    assert [m.version for m in circle.bundles] == list(range(1, len(circle.bundles) + 1))
    assert [m.env_steps for m in circle.bundles] == [200, 250, 300, 350, 400]
    for manifest in circle.bundles:
        assert manifest.env_steps % every == 0
        assert manifest.gradient_steps == 100 + utd * (manifest.env_steps - first)
        assert manifest.parent == parent.weights_sha256
        assert manifest.contract_hash == parent.contract_hash
    assert len({m.weights_sha256 for m in [parent, *circle.bundles]}) == len(circle.bundles) + 1


def test_metrics_are_kept_for_tensorboard(circle):
    assert list((circle.folder / "learner" / "tensorboard").glob("events.out.tfevents*"))


def test_same_seed_same_run_whatever_the_timing(circle, again):
    for name, column in circle.rows.items():
        assert np.array_equal(column, again.rows[name]), name
    hashes = [[m.weights_sha256 for m in run.bundles] for run in (circle, again)]
    assert hashes[0] == hashes[1]
    assert json.dumps(circle.status) == json.dumps(again.status)
