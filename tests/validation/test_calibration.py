"""Calibration finds again what a cell was made with, and says how sure it is of what."""

import numpy as np
import pytest
from scipy.stats import norm
from twin_episodes import record

from porl_ros.policy.bundle import load_bundle
from porl_ros.replay import read_store
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.robot import SimulatedRobot
from porl_ros.simulation.scene import SceneConfig
from porl_ros.simulation.variant import Calibration, Variant
from porl_ros.validation.calibration import calibrate, save_cell, spread_out
from porl_ros.validation.calibration_data import CalibrationError, Recorded, recorded
from porl_ros.validation.calibration_free import fit_free
from porl_ros.validation.calibration_replay import Replay
from porl_ros.validation.calibration_touch import Touch, pool, pool_median

FREE = ("damping", "latency", "payload")


def read(config: RobotConfig, store) -> list[Recorded]:
    source = SceneConfig.load(config.simulation.scene).task.estimate_source
    chunks = read_store(store, config.contract_hash, config.contract)
    episodes, left_out = recorded(chunks, config, source)
    assert not left_out
    return episodes


@pytest.fixture(scope="module")
def swaying(tmp_path_factory, config) -> list[Recorded]:
    """The arm of the twin, free of everything."""
    store = tmp_path_factory.mktemp("swaying") / "store"
    record(config, store, episodes=8, steps=14)
    return read(config, store)


def test_what_was_sent_is_read_from_the_observations(config, swaying):
    """Replayed in the cell where it was recorded, the tool goes where it went."""
    replay, twin = Replay(config, touch=False), SimulatedRobot(config, "twin").variant
    for episode in swaying:
        off = replay.path(replay.script(episode), twin, episode.steps) - episode.tool
        assert (
            np.abs(off[episode.fresh]).max() < 0.0015
        )  # the noise of the joints, three deviations
        assert np.sqrt(np.mean(off[episode.fresh] ** 2)) < 0.0004


def test_lost_readings_are_known(swaying):
    fresh = np.concatenate([episode.fresh for episode in swaying])
    assert 0.0 < np.mean(~fresh) < 0.08  # the twin loses 2 % of them


@pytest.mark.parametrize("start", ["calibrated", pytest.param("hard", marks=pytest.mark.slow)])
def test_dynamics_of_the_twin_are_found_within_their_intervals(config, swaying, start):
    replay = Replay(config, touch=False)
    scripts = [replay.script(episode) for episode in swaying]
    cell, twin = (SimulatedRobot(config, name).variant for name in (start, "twin"))
    found = fit_free(replay, scripts, [s.recorded.steps for s in scripts], cell)
    assert not found.untold
    for name in FREE:
        low, high = found.intervals[name]
        assert low <= getattr(twin, name) <= high
        assert low < found.values[name] < high
    assert abs(found.values["latency"] - twin.latency) < 0.002
    assert abs(found.values["damping"] / twin.damping - 1) < 0.02
    assert abs(found.values["payload"] - twin.payload) < 0.1


def test_what_standing_still_cannot_tell_keeps_its_value(tmp_path, config):
    record(config, tmp_path, episodes=4, steps=8, policy=lambda _: np.zeros(3), noise=0.0)
    replay, start = Replay(config, touch=False), Variant(damping=1.1, latency=0.03)
    scripts = [replay.script(episode) for episode in read(config, tmp_path)]
    found = fit_free(replay, scripts, [8] * 4, start)
    assert "latency" in found.untold
    assert "latency" not in found.values
    assert "too little motion" in found.untold["latency"]


def touches(rng, count: int, centre: float, spread: float, open_ends: float) -> list[Touch]:
    """What episodes allow, if they tell at least on which side of something the truth is."""
    found = []
    for truth in rng.normal(centre, spread, count):
        low, high = truth - rng.uniform(0.05, 0.6), truth + rng.uniform(0.05, 0.6)
        side = rng.random()
        low, high = (
            (-np.inf if side < open_ends / 2 else low),
            (np.inf if side > 1 - open_ends / 2 else high),
        )
        found.append(Touch(np.full(4, truth), np.full(4, low), np.full(4, high)))
    return found


@pytest.mark.parametrize("open_ends", [0.0, 0.5])
def test_intervals_of_pooled_episodes_hold_the_truth_as_often_as_they_say(open_ends):
    rng, hits, repeats = np.random.default_rng(0), 0, 80
    for _ in range(repeats):
        found = pool(touches(rng, 15, 4.0, 1.2, open_ends), 0)
        hits += found.interval[0] <= 4.0 <= found.interval[1]
    assert hits / repeats > 0.95 - norm.ppf(0.99) * np.sqrt(0.05 * 0.95 / repeats)


def test_an_episode_that_was_explained_wrongly_does_not_pull_at_the_median():
    rng = np.random.default_rng(1)
    good, bad = touches(rng, 12, 0.0, 0.05, 0.0), touches(rng, 2, 9.0, 0.1, 0.0)
    for touch in good + bad:
        touch.lower[3], touch.upper[3] = touch.best[3] - 0.1, touch.best[3] + 0.1
    found = pool_median(good + bad, 3)
    assert abs(found.value) < 0.05
    assert -0.15 < found.interval[0] < found.value < found.interval[1] < 0.15


def test_too_few_episodes_tell_nothing():
    rng = np.random.default_rng(0)
    assert pool_median(touches(rng, 5, 0.0, 1.0, 0.0), 0) is None
    assert pool(touches(rng, 2, 0.0, 1.0, 0.0), 0) is None
    assert pool(touches(rng, 40, 0.0, 1.0, 2.0), 0) is None  # one side of each is open
    assert pool([], 0) is None


@pytest.mark.slow
def test_the_twin_is_found_from_what_a_policy_did_in_it(tmp_path, config, base):
    policy = load_bundle(base, config).actor.for_control()
    record(config, tmp_path / "store", episodes=16, policy=policy)
    scene = SceneConfig.load(config.simulation.scene)
    start, twin = scene.variant("calibrated"), scene.variant("twin")
    fitted = calibrate(config, read(config, tmp_path / "store"), start)
    for name in (*FREE, "friction"):
        low, high = fitted.intervals[name]
        assert low <= getattr(twin, name) <= high, name
    for axis in range(3):
        low, high = fitted.intervals[f"estimate_offset.{'xyz'[axis]}"]
        assert low <= twin.estimate_offset[axis] <= high, axis
        assert abs(fitted.variant.estimate_offset[axis] - twin.estimate_offset[axis]) < 0.001
    assert 0.001 < fitted.variant.estimate_noise < 0.003
    assert np.median(fitted.after) < 0.5 * np.median(fitted.before)
    assert fitted.variant.joint_noise == start.joint_noise  # not estimated


def test_a_saved_cell_is_taken_as_a_variant(tmp_path, config):
    variant = Variant(damping=1.31, estimate_offset=(0.004, 0.0, -0.001))
    report = Calibration(
        robot=config.name, contract_hash="x", stores=("s",), episodes=3, start="calibrated",
        residual_before=0.004, residual_after=0.001, intervals={"damping": (1.2, 1.4)}, untold={},
    )  # fmt: skip
    path = tmp_path / "cells" / "cell.yaml"
    save_cell(variant, report, config.simulation.scene, path)
    assert SimulatedRobot(config, str(path)).variant == variant
    with pytest.raises(FileExistsError):
        save_cell(variant, report, config.simulation.scene, path)


def test_too_few_episodes_are_refused(config, swaying):
    with pytest.raises(CalibrationError, match=r"2 of 2 episodes .*; 3 are needed, record more"):
        calibrate(config, swaying[:2], Variant())
    with pytest.raises(CalibrationError, match=r"0 of 0 episodes"):
        calibrate(config, [], Variant())


def test_more_episodes_than_are_used_are_spread_over_the_recording(swaying):
    assert [id(e) for e in spread_out(swaying, 3)] == [id(swaying[i]) for i in (0, 3, 7)]
    assert len(spread_out(swaying, 50)) == len(swaying)


def test_a_robot_whose_recordings_do_not_show_its_motion_is_refused(config):
    features = [f for f in config.observation.features if f.signal != "target.position"]
    observation = config.observation.model_copy(update={"features": tuple(features)})
    blind = config.model_copy(update={"observation": observation})
    with pytest.raises(CalibrationError, match=r"{signal: target.position, minus: tool.position}"):
        recorded([], blind, "socket")
    twist = load_robot("ur5e_insert").action.model_copy(update={"kind": "cartesian_twist"})
    with pytest.raises(CalibrationError, match="action.kind = 'cartesian_twist'"):
        recorded([], config.model_copy(update={"action": twist}), "socket")


def test_episodes_that_cannot_be_replayed_are_counted(tmp_path, config):
    record(config, tmp_path, episodes=4, steps=8)
    (chunk,) = read_store(tmp_path)
    rows, finals = chunk.rows.copy(), chunk.finals[:-1]  # the last one has no end
    rows["step"][9:16] += 1
    rows["stamp"][20:] += config.period_ns // 2
    rows["episode"][16:] = 7
    rows["episode"][24:] = 8
    _, left_out = recorded([chunk._replace(rows=rows, finals=finals)], config, "socket")
    assert left_out == {
        "with steps missing": 1, "with steps that were late or early": 1, "without an end": 1
    }  # fmt: skip
