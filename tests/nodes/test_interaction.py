"""The policy side of the circle without ROS: whatever is decided is recorded, once."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from porl_ros.nodes.acting.interaction import Interaction, Mark
from porl_ros.nodes.acting.judges import by_operator
from porl_ros.nodes.people.person import Wish
from porl_ros.policy.bundle import save_bundle
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.replay import Actor, ReplaySchema, ReplayWriter, read_store
from porl_ros.robot.controller import Controller
from porl_ros.simulation.robot import SimulatedRobot


class Drive:
    """An interaction, a simulated robot, and the store between them."""

    def __init__(self, config, base: Path, store: Path, explore: bool = True, **judge):
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
        self.interaction = Interaction(controller, self.runtime, self.writer, **judge)
        self.acts, self.stamps = [], []
        self.samples = None

    def reset(self, seed: int) -> None:
        self.samples = self.robot.reset(seed)
        assert self.interaction.perceive(self.samples) is None

    def decide(self, wish: Wish | None = None):
        if wish:
            return self.interaction.steer(wish)
        return self.interaction.decide(self.interaction.think())

    def step(self, wish: Wish | None = None):
        """One control step, by a person if there is a wish; the result when the episode ended."""
        self.stamps.append(self.robot.time_ns)
        self.acts.append(self.decide(wish))
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


UP = Wish(np.full(6, np.nan), np.array([0.0, 0.0, 0.05, 0.0, 0.0, 0.0]))


def test_a_person_is_recorded_with_what_he_asked_for_and_what_was_done(drive, config):
    drive.reset(0)
    for wish in (None, None, UP, UP, None):
        drive.step(wish)
    rows, _ = drive.recorded()
    human, policy = Actor.HUMAN, Actor.POLICY
    assert rows["actor"].tolist() == [policy, policy, human, human, policy]
    assert set(rows["policy_version"]) == {0}  # a fall of it would mean that the policy went back
    up = 0.05 / config.control_rate / config.action.scale
    assert np.allclose(rows["action"][2:4], [0.0, 0.0, up], atol=2e-2)
    assert np.allclose(rows["requested_action"][2:4], rows["action"][2:4], atol=1e-6)


def test_what_was_sent_is_within_limits_from_policy_to_person_and_back(drive, config):
    limits = [config.safety.joints[joint].acceleration for joint in config.command_joints]
    most, down = np.array(limits) / config.control_rate**2, Wish(UP.joints, -3.0 * UP.twist)
    drive.reset(0)
    start = drive.robot.command
    for wish in [None] * 4 + [UP] * 4 + [None] * 3 + [down] * 3 + [None] * 4:
        drive.step(wish)
    commands = np.array([start, start, *(act.command for act in drive.acts)])
    assert (np.abs(np.diff(commands, 2, axis=0)) <= most + 1e-9).all()


def test_an_episode_with_a_persons_help_says_nothing_of_the_policy(drive):
    drive.reset(0)
    drive.step(UP)
    while not (result := drive.step()):
        pass
    assert not result.own
    assert np.isnan(drive.interaction.recent_success)
    assert drive.episode(1).own
    assert not np.isnan(drive.interaction.recent_success)


@pytest.mark.parametrize("mark", Mark)
def test_a_mark_ends_the_episode_with_the_next_observation(drive, mark):
    assert not drive.interaction.mark(mark)  # none runs
    drive.reset(0)
    drive.step()
    assert drive.interaction.mark(mark)
    result = drive.step()
    assert (result.length, result.success) == (2, mark is Mark.SUCCESS)
    assert result.own == (mark is not Mark.END)
    drive.reset(1)
    assert drive.step() is None  # the mark was of the episode before
    rows, finals = drive.recorded()
    assert rows["reward"].tolist() == [0.0, float(mark is Mark.SUCCESS), 0.0]
    assert rows["terminated"].tolist() == [0, int(mark is not Mark.END), 0]
    assert rows["truncated"][:2].tolist() == [0, int(mark is Mark.END)]
    assert finals["row"][0] == 1


def test_where_a_person_judges_the_function_is_not_asked(tmp_path, config, base):
    drive = Drive(config, base, tmp_path / "store", explore=False, judge=by_operator)
    results = [drive.episode(seed) for seed in range(3)]
    rows, _ = drive.recorded()
    assert [result.length for result in results] == [config.episode.horizon] * 3
    assert not rows["terminated"].any()
    assert not rows["reward"].any()


def test_between_episodes_the_robot_is_moved_within_limits_and_nothing_is_recorded(drive, config):
    limits = [config.safety.joints[joint].acceleration for joint in config.command_joints]
    most, interaction = np.array(limits) / config.control_rate**2, drive.interaction
    drive.episode(0)
    commands, recorded = [act.command for act in drive.acts][-3:], drive.interaction.steps
    for wish in [UP] * 6 + [None] * 6:
        if act := interaction.move(drive.samples, wish):
            commands.append(act.command)
            drive.samples = drive.robot.step(act.command)
    assert act is None  # it stands
    assert interaction.standing
    assert not interaction.moving
    assert interaction.steps == recorded
    assert interaction.perceive(drive.samples) is None  # an episode begins from there
    commands.append(interaction.decide(np.zeros(3, np.float32)).command)
    assert (np.abs(np.diff(commands, 2, axis=0)) <= most + 1e-9).all()
