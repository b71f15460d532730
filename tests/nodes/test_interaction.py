"""The policy side of the circle without ROS: whatever is decided is recorded, once."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from porl_ros.nodes.interaction import Interaction
from porl_ros.policy.bundle import save_bundle
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.replay import Actor, ReplaySchema, ReplayWriter, read_store
from porl_ros.robot.controller import Controller
from porl_ros.simulation.robot import SimulatedRobot


class Drive:
    """An interaction, a simulated robot, and the store between them."""

    def __init__(self, config, base: Path, store: Path, explore: bool = True):
        controller = Controller(config)
        schema = ReplaySchema(
            contract_hash=config.contract_hash,
            observation_names=controller.observation_names,
            action_names=controller.action_names,
        )
        self.store, self.robot = store, SimulatedRobot(config)
        self.runtime = PolicyRuntime(config, "cpu", explore, seed=0)
        self.runtime.swap(self.runtime.load(base))
        self.writer = ReplayWriter(store, schema, config.name)
        self.interaction = Interaction(controller, self.runtime, self.writer)
        self.acts, self.stamps = [], []
        self.samples = None

    def reset(self, seed: int) -> None:
        self.samples = self.robot.reset(seed)
        assert self.interaction.perceive(self.samples) is None

    def decide(self):
        return self.interaction.decide(self.interaction.think())

    def step(self):
        """One control step; the result when the episode ended with it."""
        self.stamps.append(self.robot.time_ns)
        self.acts.append(self.decide())
        self.samples = self.robot.step(self.acts[-1].command)
        return self.interaction.perceive(self.samples)

    def episode(self, seed: int):
        self.reset(seed)
        while not (result := self.step()):
            pass
        return result

    def recorded(self):
        """Rows and finals, after closing."""
        self.writer.close()
        (chunk,) = read_store(self.store)
        return chunk.rows, chunk.finals


@pytest.fixture
def drive(tmp_path, config, base) -> Iterable[Drive]:
    made = Drive(config, base, tmp_path / "store")
    yield made
    made.writer.close()


def test_a_row_for_every_action_and_a_final_for_every_episode(drive):
    results = [drive.episode(seed) for seed in range(3)]
    assert drive.interaction.steps == len(drive.acts) == sum(r.length for r in results)
    assert [r.number for r in results] == [0, 1, 2]
    assert [r.ret for r in results] == [float(r.success) for r in results]
    rows, finals = drive.recorded()
    assert len(rows) == len(drive.acts)
    assert np.array_equal(rows["action"], [act.executed for act in drive.acts])
    assert np.array_equal(rows["requested_action"], [act.requested for act in drive.acts])
    assert rows["stamp"].tolist() == drive.stamps  # when it was decided, not when it was over
    ends = np.cumsum([r.length for r in results]) - 1
    assert finals["row"].tolist() == ends.tolist()
    assert rows["terminated"][ends].tolist() == [r.success for r in results]
    assert np.count_nonzero(rows["terminated"] | rows["truncated"]) == 3


def test_an_abort_truncates_and_never_terminates(drive):
    drive.reset(0)
    for _ in range(3):
        drive.step()
    drive.decide()  # its outcome is never seen
    drive.interaction.abort()
    drive.interaction.abort()
    assert not drive.interaction.running
    drive.reset(1)
    drive.interaction.abort()  # before the first action there is nothing to close
    drive.reset(2)
    drive.step()
    rows, finals = drive.recorded()
    assert rows["episode"].tolist() == [0, 0, 0, 2]
    assert rows["step"].tolist() == [0, 1, 2, 0]
    assert not rows["terminated"].any()
    assert rows["truncated"].tolist()[:3] == [0, 0, 1]
    assert finals["row"][0] == 2
    assert finals["truncated"][0]


def test_the_version_that_decided_is_recorded_even_when_another_perceives(drive, config, tmp_path):
    actor, other = drive.runtime.bundle.actor, tmp_path / "other"
    save_bundle(other, actor, config.contract, made_by="a test", version=7, exploration_std=0.1)
    drive.reset(0)
    drive.decide()
    drive.runtime.swap(drive.runtime.load(other))
    drive.samples = drive.robot.step(drive.robot.command)
    drive.interaction.perceive(drive.samples)
    drive.step()
    rows, _ = drive.recorded()
    assert rows["policy_version"].tolist() == [0, 7]


def test_recent_success_counts_finished_episodes(drive):
    assert np.isnan(drive.interaction.recent_success)
    results = [drive.episode(seed) for seed in range(4)]
    drive.reset(9)
    drive.interaction.abort()
    assert drive.interaction.recent_success == np.mean([r.success for r in results])


def test_who_acted_is_recorded(drive):
    drive.episode(0)
    drive.runtime.act = lambda observation: np.full(3, np.nan, np.float32)  # held by the filter
    drive.episode(1)
    rows, _ = drive.recorded()
    held = rows["episode"] == 1
    assert set(rows["actor"][held]) == {Actor.SAFETY}
    assert drive.interaction.interventions == np.count_nonzero(rows["actor"] == Actor.SAFETY)
    assert np.isfinite(rows["requested_action"]).all()
