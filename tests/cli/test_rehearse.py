"""`porl rehearse`: the short form whole, and what it is held against."""

import json
import os

import pytest
from command import start
from leftovers import processes_of

from porl_ros.cli.rehearsal_check import Check, check, own_outcomes
from porl_ros.cli.rehearsal_plan import SHORT, write_robot
from porl_ros.errors import PorlError
from porl_ros.replay import ReplayWriter, robot_schema
from porl_ros.robot.loading import load_robot
from porl_ros.validation import audit


@pytest.mark.slow
@pytest.mark.timeout(900)  # it runs by the clock, beside whatever else the machine does
def test_the_short_form_tells_the_whole_story(tmp_path):
    run = tmp_path / "run"
    child = start("rehearse", "--short", "--output", run, folder=tmp_path)
    try:
        said, _ = child.communicate(timeout=880)
    finally:
        child.kill()
    assert child.returncode == 0, said
    summary = json.loads((run / "summary.json").read_text())
    assert summary["holds"] is True
    assert summary["base"] > 0.0
    assert summary["lowest"] >= 0.5 * summary["base"]
    assert summary["episodes"] > SHORT.window
    events = [(e["event"], e.get("version")) for e in audit.read(run / "audit.jsonl")]
    told = [one for one in events if one[0] != "admitted policy loaded"]
    assert told == [
        ("judged", 0), ("deployed", 0), ("judged", 1), ("judged", 0), ("deployed", 1),
        ("canary begun", 1), ("promoted", 1), ("canary begun", 1001), ("withdrawn", 1001),
        ("rolled back", 0), ("went back", 0),
    ]  # fmt: skip
    assert (run / "place").resolve() == run / "base"
    assert "every action turned round: refused" in said
    assert processes_of(tmp_path) == []


def test_success_that_fell_too_low_does_not_hold():
    good = Check(base=0.5, bound=0.5, window=20, lowest=0.25, episodes=100)
    assert good.holds
    bad = good._replace(lowest=0.2)
    assert not bad.holds
    assert "bound 0.25: DOES NOT HOLD" in bad.text


def test_the_worst_stretch_counts_wherever_it_is(tmp_path, config):
    outcomes = [True] * 4 + [False] * 3 + [True] * 3
    stores = [tmp_path / "one", tmp_path / "two"]
    for store, part in zip(stores, (outcomes[:6], outcomes[6:]), strict=True):
        record(store, config, part)
    found = check(stores, config.episode.horizon, base=1.0, bound=0.5, window=4)
    assert (found.lowest, found.episodes) == (0.25, 10)
    assert check(stores, config.episode.horizon, 1.0, 0.5, window=50).lowest == 0.7
    assert check([], config.episode.horizon, 1.0, 0.5, window=4).lowest == 0.0


def test_episodes_that_were_cut_short_do_not_count(tmp_path, config):
    record(tmp_path / "store", config, [True, False], cut=1)
    assert own_outcomes(tmp_path / "store", config.episode.horizon) == [True, False]


def test_a_rehearsal_is_done_with_copies(tmp_path, monkeypatch):
    path = write_robot("ur5e_insert", SHORT, tmp_path)
    robot = load_robot(path)
    assert robot.gate.mode == "every"
    assert robot.gate.rule.success is None
    assert robot.gate.canary.share == 0.5
    assert robot.simulation.scene == str(tmp_path / "scene.yaml")
    assert robot.contract_hash == load_robot("ur5e_insert").contract_hash
    with pytest.raises(PorlError, match="has no cell 'calibrated', which a rehearsal needs"):
        write_robot("ur5e_lift", SHORT, tmp_path)


def test_nothing_is_overwritten(porl, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.txt").write_text("all of it")
    before = dict(os.environ)
    complaint = porl.fails("rehearse", "--short", "--output", tmp_path / "run")
    assert "there is a run already and nothing is overwritten" in complaint
    assert os.environ == before  # not the site of this process either


def record(store, config, outcomes: list[bool], cut: int = 0) -> None:
    """Episodes that succeed in two steps or go on to the horizon; `cut` more end halfway."""
    zeros = [0.0] * 3
    with ReplayWriter(store, robot_schema(config), config.name) as writer:
        observation = [0.0] * len(robot_schema(config).observation_names)
        lengths = [2 if good else config.episode.horizon for good in outcomes] + [30] * cut
        for number, length in enumerate(lengths):
            good = number < len(outcomes) and outcomes[number]
            for step in range(length):
                last = step == length - 1
                writer.log(
                    observation=observation, action=zeros, requested_action=zeros,
                    reward=float(good and last), terminated=good and last,
                    truncated=not good and last, actor=0, policy_version=0, episode=number,
                    step=step, stamp=step, final_observation=observation if last else None,
                )  # fmt: skip
