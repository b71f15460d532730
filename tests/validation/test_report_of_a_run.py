"""The report of a fine-tuning, read from a real store, bundles, logs and audit log."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from pages import Page

from porl_ros.errors import ConfigError, ContractMismatch
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.metrics import MetricsLog
from porl_ros.learning.run_file import NAME, RunFileError, read_run_file, write_run_file
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.replay import Actor, ReplayWriter, robot_schema
from porl_ros.simulation.env import SEEDS_APART, RobotEnv
from porl_ros.validation import audit, video
from porl_ros.validation.report.finetuning_page import FineTuningReport
from porl_ros.validation.report.run_folder import find_run
from porl_ros.validation.report.run_story import ReportError

STEPS, HORIZON = 10, 60  # of an episode that succeeds, and of one that fails
BASE, BEFORE, AFTER = 3, 20, 60  # version; episodes of the base, and since


class Store:
    """Writes episodes as the policy node would."""

    def __init__(self, folder: Path, config):
        self.writer, self._number = ReplayWriter(folder, robot_schema(config), "arm"), 0

    def episode(self, success: bool, version: int, actors: dict[int, Actor] | None = None) -> None:
        """`actors`: who acted in which step, where it was not the policy."""
        steps = STEPS if success else HORIZON
        for step in range(steps):
            last, actor = step == steps - 1, (actors or {}).get(step, Actor.POLICY)
            self.writer.log(
                observation=np.zeros(15), requested_action=np.full(3, 0.5),
                action=np.full(3, 0.1 if actor is Actor.SAFETY else 0.5),
                reward=float(last and success), terminated=last and success,
                truncated=last and not success, actor=actor,
                policy_version=version, episode=self._number, step=step, stamp=self.writer.rows,
                final_observation=np.zeros(15) if last else None,
            )  # fmt: skip
        self._number += 1


def describe(output: Path, store: Path, base: Path, config, **changes) -> str:
    """As the fine-tuning node does."""
    facts = {
        "robot": "ur5e_insert", "paths": {"base": base, "store": store, "demonstrations": None},
        "contract_hash": config.contract_hash, "base_version": BASE, "mode": "lockstep",
        "base_sha256": load_bundle(base).manifest.weights_sha256, "device": "cpu", "seed": 0,
        "settings": PorlConfig(utd=2),
    }  # fmt: skip
    return write_run_file(output, **{"resumed": False} | facts | changes)


@pytest.fixture
def run(tmp_path, bundle, config) -> Path:
    """A base that succeeds once in five, and what came of it always but for one person's help."""
    output, store = tmp_path / "run" / "learner", tmp_path / "run" / "store"
    robot = Store(store, config)
    with robot.writer:
        for number in range(BEFORE):
            robot.episode(number % 5 == 0, BASE)
        robot.episode(False, BASE + 2, {4: Actor.SAFETY, 5: Actor.SAFETY})
        for _ in range(AFTER):
            robot.episode(True, BASE + 2)
        robot.episode(True, BASE + 1, {2: Actor.HUMAN, 3: Actor.HUMAN, 4: Actor.HUMAN})
    run_id = describe(output, store, bundle, config)
    base = load_bundle(bundle)
    for version in (BASE + 1, BASE + 2):
        save_bundle(
            output / "bundles" / f"{version:06d}", base.actor, config.contract, made_by="a test",
            version=version, parent=base.manifest.weights_sha256, exploration_std=0.2,
            env_steps=1000 * version, gradient_steps=77 * version,
        )  # fmt: skip
    log = MetricsLog(output / "tensorboard")
    for step in range(0, 1500, 100):
        log.write(step, {"gradient_steps": 2.0 * step, "critic_error": 1.0 - step / 2000.0,
                         "critic_loss": 0.1, "value": 0.5, "anchor": 0.9})  # fmt: skip
    log.close()
    change = {"name": "learner.utd", "old": 2, "new": 8, "env_step": 1234, "gradient_step": 5}
    audit.append("parameter", run=run_id, **change)
    audit.append("parameter", run="0" * 16, **change | {"new": 64321})
    return tmp_path / "run"


def shown(run: Path) -> Page:
    return Page(FineTuningReport(find_run(run)).page())


def test_it_tells_the_story_of_the_store(run, config):
    report = FineTuningReport(find_run(run))
    content = report.page()
    seen = Page(content)
    assert seen.open == seen.elsewhere == []
    assert seen.inside == ["image/svg+xml"] * 4
    assert report.ends == ((4, BEFORE), (40, 40))
    steps = 4 * STEPS + 16 * HORIZON + HORIZON + (AFTER + 1) * STEPS
    for text in (
        "IMPROVED : success 0.20 (0.08 to 0.42) with the base, 1.00 (0.91 to 1.00) in the end",
        "Sent back 1 time(s)", f"{steps} steps", f"It changed 2 of {steps} steps",
        "action 0 0.400 0.400", "A person acted in 3 steps of 1 episodes",
        "learner.utd 2 8 1234", config.contract_hash, read_run_file(run / "learner").id,
        f"since then {AFTER + 1}", "utd 2 (default 4)", "critic updates 385",
    ):  # fmt: skip
        assert text in seen.text, text
    assert "64321" not in seen.text  # of another run
    assert f"{steps - STEPS} {BASE + 2} {BASE + 1}" in seen.text  # where it was sent back
    assert seen.text.index("IMPROVED") < seen.text.index("Configuration")


@pytest.mark.slow
def test_what_was_evaluated_counts_where_there_is_something(run):
    summary = {
        "status": "finished", "base_success": 0.9, "final_success": 0.2, "final_episodes": 50,
        "base_success_on_curve": 0.88, "lowest_success": 0.1, "lowest_at_step": 640,
        "curve": [[0, 0, 0.88], [640, 1, 0.1]], "curve_episodes": 40, "something": "else",
    }  # fmt: skip
    (run / "summary.json").write_text(json.dumps(summary))
    text = shown(run).text
    assert "WORSE : success 0.90 (0.79 to 0.96) with the base, 0.20 (0.11 to 0.33)" in text
    assert (
        "Lowest on the way: 0.10 at step 640 (40 episodes, in which the base came to 0.88)" in text
    )
    (run / "summary.json").write_text(json.dumps(summary | {"status": "interrupted"}))
    assert "IMPROVED" in shown(run).text
    for damage in ('{"status": "finished"}', "[1, ", json.dumps(summary | {"base_success": 7})):
        (run / "summary.json").write_text(damage)
        with pytest.raises(ConfigError, match=r"summary\.json: is no summary of `porl demo`"):
            find_run(run)


def test_a_run_that_has_just_begun(tmp_path, bundle, config):
    robot = Store(tmp_path / "store", config)
    with robot.writer:
        robot.episode(False, BASE)
    describe(tmp_path / "out", tmp_path / "store", bundle, config)
    text = shown(tmp_path / "out").text
    assert "TOO EARLY : no whole episode of any policy since says something yet" in text
    assert "There is no TensorBoard log" in text
    assert "No person acted" in text


@pytest.mark.slow
def test_a_difference_that_may_be_chance_is_called_none(tmp_path, bundle, config):
    robot = Store(tmp_path / "store", config)
    with robot.writer:
        for version in (BASE, BASE + 1):
            for number in range(10):
                robot.episode(number < 5 + version - BASE, version)
    describe(tmp_path / "out", tmp_path / "store", bundle, config)
    assert "NO DIFFERENCE SHOWN" in shown(tmp_path / "out").text


def test_a_run_may_be_moved_with_its_store(run, tmp_path):
    moved = tmp_path / "elsewhere" / "run"
    shutil.move(run, moved)
    assert FineTuningReport(find_run(moved)).ends[1] == (40, 40)
    shutil.move(moved / "store", tmp_path / "store")
    with pytest.raises(ReportError, match="the replay store of this run is not there; name it"):
        find_run(moved)
    assert FineTuningReport(find_run(moved, store=tmp_path / "store")).ends[1] == (40, 40)


def test_what_is_not_there_or_of_another_robot_is_named(run, tmp_path, bundle, config):
    with pytest.raises(RunFileError, match="has no run.json, so it is not the output folder"):
        find_run(tmp_path)
    with pytest.raises(ContractMismatch, match="another contract than the one of this run"):
        find_run(run, robot="ur5e_lift")
    robot = Store(tmp_path / "empty", config)
    robot.writer.close()
    describe(tmp_path / "out", tmp_path / "empty", bundle, config)
    with pytest.raises(ReportError, match="holds no steps, so there is nothing to report yet"):
        FineTuningReport(find_run(tmp_path / "out"))
    for damage in ("{", "[]", '{"format_version": 2}', ""):
        (tmp_path / "out" / NAME).write_text(damage)
        with pytest.raises(RunFileError, match=r"run\.json: "):
            find_run(tmp_path / "out")


@pytest.mark.slow
def test_an_audit_log_that_cannot_be_read_is_said(run, tmp_path, monkeypatch):
    log = audit.audit_path()
    log.write_text(log.read_text().replace('"new": 8,', '"new": 9,'))
    assert f"{log}: line 2 or the one before it was changed" in shown(run).text
    monkeypatch.setenv("PORL_AUDIT_LOG", str(tmp_path / "nowhere"))
    assert "This site has no audit log." in shown(run).text


def test_what_was_resumed_stays_the_same_run(tmp_path, bundle, config):
    output, store = tmp_path / "out", tmp_path / "store"
    first = describe(output, store, bundle, config)
    facts = read_run_file(output)
    assert facts.store == "../store"
    assert describe(output, store, bundle, config, resumed=True, seed=1) == first
    assert read_run_file(output) == facts
    assert describe(output, store, bundle, config, seed=1) != first
    (output / NAME).write_text("torn")
    assert describe(output, store, bundle, config, resumed=True) == read_run_file(output).id


def test_a_robots_own_episodes_are_not_played_again(tmp_path, bundle, config):
    robot = Store(tmp_path / "store", config)
    with robot.writer:
        robot.episode(False, BASE + 1)
    describe(tmp_path / "out", tmp_path / "store", bundle, config, mode="paced")
    films = FineTuningReport(find_run(tmp_path / "out")).film()
    assert films.clips == ()
    assert films.why_not == "What a robot did by the clock cannot be played again in a scene."


@pytest.mark.slow
def test_failures_are_played_again_from_the_store_and_only_as_they_were(tmp_path, bundle, config):
    env, rng, kept = RobotEnv(config), np.random.default_rng(0), []
    with ReplayWriter(tmp_path / "store", robot_schema(config), "arm") as writer:
        for number in range(2):
            observation, _ = env.reset(seed=7 * SEEDS_APART + number)
            for step in range(HORIZON):
                action = rng.uniform(-0.3, 0.3, 3).astype(np.float32)
                seen = observation + (0.5 if number and step == 30 else 0.0)  # another course
                observation, reward, terminated, truncated, info = env.step(action)
                writer.log(
                    observation=seen, action=info["act"].executed, requested_action=action,
                    reward=reward, terminated=terminated, truncated=truncated, actor=Actor.POLICY,
                    policy_version=BASE + 1, episode=number, step=step, stamp=step,
                    final_observation=observation if truncated else None,
                )  # fmt: skip
                kept.append(terminated)
    assert not any(kept)
    describe(tmp_path / "out", tmp_path / "store", bundle, config, seed=7)
    report = FineTuningReport(find_run(tmp_path / "out"))
    films = report.film()
    if films.why_not.startswith("no video"):
        assert films.why_not.endswith(video.REMEDY)
        pytest.skip(films.why_not)
    assert [clip.caption.split(",")[0] for clip in films.clips] == ["Episode 0"]
    assert films.why_not.startswith("Episode 1, ")
    assert video.NOT_REPEATED in films.why_not
    report.write(tmp_path / "report.html", films)
    assert Page((tmp_path / "report.html").read_text()).inside.count("image/webp") == 2
