"""The learner's side of the circle, fed by a store that this process writes."""

from collections.abc import Iterable

import pytest
from stores import CONFIG, Robot, make, names

from porl_ros.errors import ConfigError, ContractMismatch
from porl_ros.learning.finetuning import WITHOUT_LIMIT, FineTuning, Grant
from porl_ros.learning.trainer import Stage
from porl_ros.policy.bundle import load_bundle, save_bundle

NAME = "ur5e_insert"  # by which the robot is known in its store


@pytest.fixture
def robot(tmp_path, config) -> Iterable[Robot]:
    made = Robot(tmp_path / "store", config)
    yield made
    made.writer.close()


@pytest.fixture
def tuning(tmp_path, config, base) -> FineTuning:
    return make(tmp_path, config, base)


def work(tuning: FineTuning) -> list[Grant]:
    """Everything there is to do; the grants that were given meanwhile."""
    grants, busy = [tuning.grant], True
    while busy:
        busy = tuning.advance()
        if tuning.grant != grants[-1]:
            grants.append(tuning.grant)
    return grants


def test_it_waits_for_a_store_and_says_so(tuning, tmp_path, config):
    assert not tuning.advance()
    assert tuning.waiting_for == f"the replay store {tmp_path / 'store'}"
    robot = Robot(tmp_path / "store", config)
    assert not tuning.advance()
    assert tuning.waiting_for == f"the store {tmp_path / 'store'}: 0 of 60 transitions"
    robot.walk(1)
    assert tuning.advance()
    assert tuning.waiting_for == f"the store {tmp_path / 'store'}: 1 of 60 transitions"
    robot.walk(119)
    work(tuning)
    assert tuning.waiting_for == ""  # finished
    robot.writer.close()


def test_the_robot_stands_still_while_critics_warm_up(tuning, robot):
    assert tuning.grant == Grant(60, 0, 0)
    robot.walk(60)
    # Not before the 20 updates are done, for which they have only what is there.
    assert work(tuning) == [Grant(60, 0, 0), Grant(100, 0, 80)]
    assert tuning.trainer.stage is Stage.ONLINE
    assert tuning.progress.gradient_steps == 20


def test_grants_run_two_blocks_ahead_and_end_with_the_last_step(tuning, robot, tmp_path):
    robot.walk(60)
    work(tuning)
    robot.walk(40)  # all that was granted: two blocks
    assert work(tuning) == [Grant(100, 0, 80), Grant(120, 1, 100), Grant(120, 2, 120)]
    assert names(tmp_path) == ["000001", "000002"]
    robot.walk(20)
    work(tuning)
    assert tuning.grant.until == CONFIG.total_steps
    assert tuning.trainer.stage is Stage.FINISHED
    assert tuning.progress.gradient_steps == 20 + 2 * 60
    assert tuning.progress.utd == 2.0


def test_bundles_say_after_how_much_training_they_were_written(tuning, robot, tmp_path, base):
    robot.walk(120)  # in one piece: in lock-step that makes no difference
    work(tuning)
    found = [load_bundle(tmp_path / "bundles" / name).manifest for name in names(tmp_path)]
    assert [m.env_steps for m in found] == [80, 100, 120]
    assert [m.gradient_steps for m in found] == [60, 100, 140]
    assert {m.parent for m in found} == {load_bundle(base).manifest.weights_sha256}
    assert tuning.latest == tmp_path / "bundles" / "000003"


def test_what_is_published_already_is_not_written_again_and_the_rest_is_numbered_on(
    tuning, robot, tmp_path, config, base
):
    robot.walk(120)
    work(tuning)
    before = {p: p.read_bytes() for p in (tmp_path / "bundles").rglob("*") if p.is_file()}
    again = make(tmp_path, config, base)
    work(again)  # the same seed and rows: the same policies
    assert names(tmp_path) == ["000001", "000002", "000003"]
    assert (again.version, again.latest) == (3, tmp_path / "bundles" / "000003")
    work(make(tmp_path, config, base, seed=1))
    assert names(tmp_path) == [f"{n:06d}" for n in range(1, 7)]
    assert all(path.read_bytes() == content for path, content in before.items())


def test_pausing_frees_the_robot_and_stops_the_updates(tuning, robot, tmp_path):
    robot.walk(60)
    tuning.pause(True)
    assert tuning.grant == Grant(WITHOUT_LIMIT, 0, 0)
    robot.walk(20)
    work(tuning)
    assert tuning.progress.env_steps == 80
    assert tuning.progress.gradient_steps == 0
    tuning.pause(False)
    work(tuning)
    assert tuning.progress.gradient_steps == 20  # the warm-up; what came meanwhile earned nothing
    robot.walk(20)
    work(tuning)
    assert tuning.progress.gradient_steps == 20 + 2 * 20
    assert names(tmp_path) == ["000001"]


def test_on_a_robot_updates_that_cannot_be_caught_up_are_forgiven_and_counted(
    robot, tmp_path, config, base
):
    tuning = make(tmp_path, config, base, lockstep=False, total_steps=1000)
    robot.walk(60)
    work(tuning)
    robot.walk(500)
    work(tuning)
    kept = CONFIG.utd * CONFIG.publish_every
    assert tuning.forgiven == 2 * 500 - kept
    assert tuning.progress.gradient_steps == 20 + kept
    assert tuning.progress.utd == pytest.approx(kept / 500)


def test_every_episode_is_told_once(tuning, robot):
    seen = []
    tuning.on_episode = seen.append
    robot.walk(120)
    work(tuning)
    assert [episode.success for episode in seen] == [True, False, True, False]


def test_a_store_of_another_contract_is_refused(tuning, tmp_path, config):
    stranger = Robot(tmp_path / "store", config, contract_hash="0" * 64)
    stranger.walk(1)
    with pytest.raises(ContractMismatch, match="contract_hash: the store"):
        tuning.advance()
    stranger.writer.close()


def test_a_saturated_base_is_noticed_in_the_pre_sample_stage(tmp_path, config, base, robot):
    actor = load_bundle(base).actor
    actor.layers[-1].bias.data[1] = 50.0
    stuck = tmp_path / "stuck"
    fields = {"made_by": "test", "version": 0, "exploration_std": 0.2}
    save_bundle(stuck, actor, config.contract, **fields)
    tuning = make(tmp_path, config, stuck)
    robot.walk(80)
    work(tuning)
    assert tuning.saturation["y"] == 1.0
    assert tuning.saturation["x"] < 1.0


def test_when_the_policy_side_goes_back_it_learns_on_from_what_acts(tuning, robot, tmp_path):
    robot.walk(80)
    work(tuning)
    assert tuning.latest.name == "000001"
    robot.walk(10, version=1)
    work(tuning)
    assert not tuning.returns
    robot.walk(10, version=0)
    work(tuning)
    assert tuning.returns == {NAME: 1}
    assert tuning.latest.name == "000001"  # nothing new until the actor learns again
    learned, base = tuning.trainer.porl.actor.state_dict(), tuning.base.actor.state_dict()
    assert all((learned[name] == base[name]).all() for name in base)


def test_bundles_say_how_often_the_policy_side_had_gone_back(tmp_path, config, base, robot):
    tuning = make(tmp_path, config, base, recovery_steps=0)
    robot.walk(80)
    work(tuning)
    robot.walk(10, version=1)
    robot.walk(10, version=0)
    work(tuning)
    returns = [load_bundle(tmp_path / "bundles" / n).manifest.returns for n in names(tmp_path)]
    assert returns == [{}, {NAME: 1}]


def test_where_policies_take_turns_it_goes_back_when_it_is_told(tmp_path, config, base, robot):
    assert config.gate.canary.share > 0.0
    tuning = make(tmp_path, config, base, lockstep=False, recovery_steps=0, total_steps=1000)
    robot.walk(80)
    work(tuning)
    for version in (1, 0, 1, 0):
        robot.walk(10, version=version)
        work(tuning)
    assert not tuning.returns
    tuning.went_back(NAME, 0, returns=1)
    learned, base_actor = tuning.trainer.porl.actor.state_dict(), tuning.base.actor.state_dict()
    assert all((learned[name] == base_actor[name]).all() for name in base_actor)
    robot.walk(40)
    work(tuning)
    assert load_bundle(tuning.latest).manifest.returns == tuning.returns == {NAME: 1}
    learned = {n: t.clone() for n, t in tuning.trainer.porl.actor.state_dict().items()}
    tuning.went_back(NAME, 0, returns=1)  # it knows already
    assert all((learned[n] == t).all() for n, t in tuning.trainer.porl.actor.state_dict().items())
    tuning.went_back("other", 0, returns=1)  # for the first time, that one
    assert all(
        (t == base_actor[n]).all() for n, t in tuning.trainer.porl.actor.state_dict().items()
    )
    assert tuning.returns == {NAME: 1, "other": 1}


def test_in_lock_step_it_need_not_be_told(tuning, robot):
    robot.walk(80)
    work(tuning)
    tuning.went_back(NAME, 0, returns=1)
    assert not tuning.returns


def test_an_earlier_version_that_is_gone_is_replaced_by_the_base(tuning, robot, tmp_path, caplog):
    robot.walk(80)
    work(tuning)
    robot.walk(5, version=7)
    robot.walk(5, version=6)
    work(tuning)
    assert tuning.returns == {NAME: 1}
    assert "going on from the base policy" in caplog.text


def test_demonstrations_take_part_in_each_batch(tmp_path, config, base, robot, demonstrations):
    settings = CONFIG.model_copy(update={"prior_share": 0.25})
    folders = tmp_path / "store", tmp_path / "bundles"
    tuning = FineTuning(config, base, *folders, settings, 0, "cpu", True, demonstrations)
    assert tuning.trainer.prior.finished == 10
    robot.walk(80)
    work(tuning)
    assert tuning.progress.episodes == 2  # demonstrations are nobody's episodes
    assert tuning.latest.name == "000001"


def test_demonstrations_without_a_share_are_a_mistake(tmp_path, config, base, demonstrations):
    folders = tmp_path / "store", tmp_path / "bundles"
    with pytest.raises(ConfigError, match="prior_share = 0.0"):
        FineTuning(config, base, *folders, CONFIG, 0, "cpu", True, demonstrations)
