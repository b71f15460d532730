"""The stages of fine-tuning and its books: what is owed is done, no more and no less."""

import json

import numpy as np
import pytest
import torch
from made_rows import LENGTH, make_chunk, split

from porl_ros.learning.config import PorlConfig
from porl_ros.learning.trainer import Stage, Trainer
from porl_ros.policy.network import Actor
from porl_ros.policy.residual import BlackBox, ResidualActor
from porl_ros.replay import Actor as Who

SMALL = {
    "presample_steps": 40,
    "total_steps": 80,
    "warmup_mc_updates": 6,
    "warmup_td_updates": 4,
    "utd": 3,
    "actor_delay": 2,
    "batch_size": 16,
    "critic_hidden": (16,),
    "memory_capacity": 1000,
}
MIXED = [True, False, False, True, True, False, True, True]  # 40 steps
RUN = make_chunk(MIXED * 2 + [False] * 4)  # 100 steps: 20 more than there are to be


def make_trainer(seed: int = 0, config: PorlConfig | None = None, **settings) -> Trainer:
    torch.manual_seed(1)
    config = config or PorlConfig(**SMALL | settings)
    return Trainer(Actor(3, 2, (16,)), config, seed, value_range=(0.0, 1.0))


def drive(trainer: Trainer, size: int = 1, at_once: int = 1000, chunk=RUN) -> list[Stage]:
    """Feed in chunks of `size` and work off what is owed after each; the stages, in order."""
    seen = [trainer.stage]
    for part in split(chunk, size):
        trainer.feed(part)
        stages = [trainer.stage]
        while trainer.work(at_once):
            stages.append(trainer.stage)
        seen += [s for i, s in enumerate(stages) if s != ([seen[-1], *stages])[i]]
    return seen


def weights(trainer: Trainer) -> list[torch.Tensor]:
    modules = trainer.porl.actor, trainer.porl.critics, trainer.porl.targets
    return [p.detach().clone() for module in modules for p in module.parameters()]


def same(first: Trainer, second: Trainer) -> bool:
    pairs = zip(weights(first), weights(second), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_stages_come_in_order():
    expected = [Stage.WAITING, Stage.PRESAMPLE, Stage.WARMUP, Stage.ONLINE, Stage.FINISHED]
    assert drive(make_trainer(), at_once=1) == expected


def test_the_policy_rests_until_the_critics_are_warm():
    trainer = make_trainer()
    for part in split(make_chunk(MIXED), 8):
        assert trainer.work(1000) == 0
        trainer.feed(part)
    assert (trainer.stage, trainer.owed) == (Stage.WARMUP, 10)
    assert trainer.work(1000) == 10
    assert (trainer.stage, trainer.owed) == (Stage.ONLINE, 0)
    assert (trainer.porl.critic_updates, trainer.porl.actor_updates) == (10, 0)
    base = trainer.porl.base.state_dict()
    assert all(torch.equal(base[k], v) for k, v in trainer.porl.actor.state_dict().items())


@pytest.mark.parametrize("size", [1, 3, 7, 40])
def test_the_ratio_asked_for_is_kept_exactly(size):
    trainer = make_trainer()
    drive(trainer, size)
    progress = trainer.progress
    # Rows that come in the very chunk that ends the pre-sample stage find the critics still cold.
    online = 80 - -(-40 // size) * size
    assert trainer.porl.critic_updates == 10 + 3 * online
    assert progress.utd == 3.0
    assert trainer.porl.actor_updates == pytest.approx(3 * online / 2, abs=1)
    assert (progress.env_steps, trainer.owed, trainer.stage) == (100, 0, Stage.FINISHED)


@pytest.mark.parametrize("size", [1, 3, 7, 100])
def test_without_a_warm_up_what_is_owed_does_not_depend_on_the_chunks(size):
    trainer = make_trainer(warmup_mc_updates=0, warmup_td_updates=0)
    for part in split(RUN, size):
        trainer.feed(part)
    assert trainer.owed == 3 * (80 - 40)


def test_steps_after_the_end_are_counted_and_not_learned_from():
    trainer = make_trainer()
    drive(trainer)
    done = trainer.porl.critic_updates
    again = make_chunk(MIXED)
    trainer.feed(again._replace(run="arm/b"))
    assert (trainer.stage, trainer.work(10)) == (Stage.FINISHED, 0)
    assert (trainer.env_steps, trainer.porl.critic_updates) == (140, done)


def test_the_same_seed_and_rows_give_the_same_weights():
    first, again, other = make_trainer(), make_trainer(), make_trainer(seed=1)
    for trainer in (first, again, other):
        drive(trainer)
    assert same(first, again)
    assert not same(first, other)


def test_how_often_work_is_called_does_not_matter():
    first, again = make_trainer(), make_trainer()
    drive(first)
    drive(again, at_once=1)
    assert same(first, again)


def test_how_the_rows_of_the_first_stage_arrive_does_not_matter():
    first, again = make_trainer(), make_trainer()
    chunk = make_chunk(MIXED)
    first.feed(chunk)
    for part in split(chunk, 3):
        again.feed(part)
    assert first.work(1000) == again.work(1000) == 10
    assert same(first, again)


def test_without_presample_it_learns_from_the_second_row_on():
    trainer = make_trainer(config=PorlConfig(**SMALL).without_presample())
    rows = split(RUN, 1)
    trainer.feed(next(rows))
    assert (trainer.stage, trainer.work(10)) == (Stage.ONLINE, 0)  # what came next is not known
    trainer.feed(next(rows))
    assert trainer.work(10) == 6
    assert trainer.porl.actor_updates == 3
    for part in rows:
        trainer.feed(part)
    assert trainer.work(1000) == 3 * 78
    assert trainer.anchor == 0.0
    assert np.isnan(trainer.base_success)


def test_a_warm_up_before_the_first_finished_episode_does_without_returns():
    trainer = make_trainer(presample_steps=3)
    for part in split(RUN, 1):
        trainer.feed(part)
        if trainer.env_steps == 3:
            break
    assert trainer.episodes == 0
    assert trainer.work(1000) == 10
    assert np.isfinite(trainer.progress.critic_loss)


def test_nothing_to_learn_from_is_no_error():
    assert make_trainer().work(10) == 0


def test_a_pause_earns_no_updates():
    trainer = make_trainer(warmup_mc_updates=0, warmup_td_updates=0)
    for index, part in enumerate(split(RUN, 10)):
        trainer.feed(part, learn=index % 2 == 0)
    assert trainer.owed == 3 * 20
    assert trainer.env_steps == 100


def test_forgiving_keeps_the_newest_and_reports_the_ratio_that_was_achieved():
    trainer = make_trainer(warmup_mc_updates=0, warmup_td_updates=0)
    for part in split(RUN, 10):
        trainer.feed(part)
    assert trainer.forgive(keep=30) == 90
    assert trainer.forgive(keep=30) == 0
    assert trainer.owed == trainer.work(1000) == 30
    assert trainer.progress.utd == pytest.approx(30 / 40)
    assert trainer.stage is Stage.FINISHED


@pytest.mark.parametrize("later", [[], [False] * 8, [True] * 8, MIXED])
def test_the_anchor_stays_between_its_weights(later):
    trainer = make_trainer(anchor=0.5, anchor_final=0.01, anchor_window=8, anchor_half_life=0)
    assert trainer.anchor == 0.5  # nothing is known yet
    drive(trainer, chunk=make_chunk([*MIXED, *later]))
    assert trainer.base_success == pytest.approx(5 / 8)
    expected = 0.01 if later and all(later) else 0.5  # better than the base only if all succeed
    assert trainer.anchor == pytest.approx(expected)


def test_episodes_in_which_a_person_helped_say_nothing_about_a_policy():
    chunk = make_chunk([*MIXED, *[True] * 8, *[False] * 2])
    helped = np.isin(chunk.rows["episode"], (*np.flatnonzero(MIXED), *range(len(MIXED), 16)))
    chunk.rows["actor"][helped & (chunk.rows["step"] == 2)] = Who.HUMAN  # one step is enough
    trainer = make_trainer(anchor=0.5, anchor_window=8)
    drive(trainer, chunk=chunk)
    assert trainer.progress.episodes == len(MIXED) + 10
    assert trainer.base_success == 0.0
    assert trainer.progress.recent_success == 0.0


@pytest.mark.parametrize(("later", "share"), [([False] * 4, 0), ([True] * 4, 1), (MIXED, None)])
def test_the_less_is_left_to_gain_the_slower_the_actor_moves(later, share):
    rates = {"actor_learning_rate": 1e-3, "actor_learning_rate_final": 1e-4}
    trainer, rate = make_trainer(anchor_window=4, **rates), []
    trainer.porl.update_actor = lambda batch, anchor, used: rate.append(used) or torch.zeros(1)
    drive(trainer, chunk=make_chunk([*MIXED, *later]))
    assert all(1e-4 <= used <= 1e-3 for used in rate)
    if share is not None:
        assert rate[-1] == pytest.approx([1e-3, 1e-4][share])


def test_the_anchor_fades_as_success_rises_and_comes_back():
    steps = {"presample_steps": 4 * LENGTH, "total_steps": 1000}
    fading = {"anchor": 1.0, "anchor_final": 0.0, "anchor_window": 4, "anchor_half_life": 0}
    trainer, seen = make_trainer(**fading, **steps), []
    later = [True, False, True, True, True, True, False, False, False, False]
    for part in split(make_chunk([False, False, True, False, *later]), LENGTH):
        trainer.feed(part)
        trainer.work(10)
        seen.append(trainer.anchor)
    assert trainer.base_success == 0.25
    # Of the last four 2, 2, 2, 3, 3, 4, 3, 2, 1, 0 succeeded, and 1 of the base's
    assert np.allclose(9 * np.array(seen[4:]), [4, 4, 4, 1, 1, 0, 1, 4, 9, 9])


def test_a_perfect_base_keeps_its_anchor():
    trainer = make_trainer(anchor=0.5)
    drive(trainer, chunk=make_chunk([True] * 12))
    assert (trainer.base_success, trainer.anchor) == (1.0, 0.5)


def test_progress_is_plain_numbers():
    trainer = make_trainer()
    assert np.isnan([trainer.progress.critic_loss, trainer.progress.recent_success]).all()
    drive(trainer)
    progress = trainer.progress
    assert np.isnan(progress.critic_error)  # the warm-up was too short to look
    json.dumps(progress._replace(critic_error=0.0)._asdict(), allow_nan=False)
    assert (progress.done, progress.total) == (100, 80)
    assert (progress.episodes, progress.gradient_steps) == (20, 10 + 3 * 40)
    assert progress.recent_success == pytest.approx(10 / 20)
    assert -0.5 <= progress.value <= 1.5


def test_progress_through_the_stages():
    trainer = make_trainer()
    trainer.feed(next(split(RUN, 10)))
    assert trainer.progress[:3] == (Stage.PRESAMPLE, 10, 40)
    trainer = make_trainer()
    trainer.feed(make_chunk(MIXED))
    trainer.work(4)
    assert trainer.progress[:3] == (Stage.WARMUP, 4, 10)


def test_after_a_return_only_the_critics_learn_for_a_while():
    trainer = make_trainer(recovery_steps=15, warmup_mc_updates=0, warmup_td_updates=0)
    parts = list(split(RUN, 1))
    for part in parts[:50]:
        trainer.feed(part)
        trainer.work(1000)
    earlier = Actor(3, 2, (16,))
    trainer.go_back(earlier)
    before = trainer.porl.critic_updates, trainer.porl.actor_updates
    for part in parts[50:64]:
        trainer.feed(part)
        trainer.work(1000)
    assert trainer.porl.critic_updates == before[0] + 14 * 3
    assert trainer.porl.actor_updates == before[1]
    now = trainer.porl.actor.state_dict()
    assert all(torch.equal(now[name], value) for name, value in earlier.state_dict().items())
    for part in parts[64:70]:
        trainer.feed(part)
        trainer.work(1000)
    assert trainer.porl.actor_updates > before[1]


@pytest.mark.parametrize("black_box", [False, True])
def test_in_residual_mode_the_base_stays_and_the_correction_learns(black_box):
    config = PorlConfig(**SMALL | {"residual_scale": 0.2})
    torch.manual_seed(1)
    base = Actor(3, 2, (16,))
    policy = base
    if black_box:
        act = base.for_control()
        box = BlackBox(lambda x: np.stack([act(row) for row in x]), np.zeros(3), np.ones(3), 2)
        policy = ResidualActor(box, 0.2)
    trainer = Trainer(policy, config, 0, value_range=(0.0, 1.0))
    drive(trainer)
    learned, observation = trainer.porl.actor, torch.randn(100, 3)
    assert isinstance(learned, ResidualActor)
    with torch.no_grad():
        difference = learned(observation) - base(observation).clamp(-1, 1)
    assert 0.0 < difference.abs().max() <= 0.2 + 1e-5
    trainer.go_back(policy)
    with torch.no_grad():
        assert torch.allclose(trainer.porl.actor(observation), trainer.porl.base(observation))


def test_demonstrations_are_drawn_once_updates_begin_and_never_pushed_out():
    trainer = make_trainer(prior_share=0.5, success_share=0.5, memory_capacity=1000)
    trainer.feed_prior(make_chunk([True] * 4, seed=9)._replace(run="demonstrations"))
    drawn = []
    update = trainer.porl.update_critics

    def spy(batch, monte_carlo=False):
        drawn.append((trainer.stage, batch))
        return update(batch, monte_carlo)

    trainer.porl.update_critics = spy
    drive(trainer)
    shown = {row.tobytes() for row in trainer.prior.sample(500).observation}
    for stage, batch in drawn:
        from_prior = sum(row.tobytes() in shown for row in batch.observation)
        assert from_prior == (8 if stage is Stage.ONLINE else 0)
    assert trainer.episodes == 20


def test_returns_over_several_steps_are_asked_of_the_memory():
    assert make_trainer(n_step=3).memory.n_step == 3
