"""Settings of the learner: their ranges, and the ones that must fit together."""

import pytest
from pydantic import ValidationError

from porl_ros.configfile import parse
from porl_ros.errors import ConfigError
from porl_ros.learning.config import PorlConfig

NAN = float("nan")
WRONG = [
    ("presample_steps", -1), ("total_steps", 0), ("warmup_mc_updates", -1),
    ("warmup_td_updates", -1), ("utd", 0), ("utd", 65), ("utd", 1.5), ("actor_delay", 0),
    ("batch_size", 0), ("success_share", 1.1), ("success_share", -0.1), ("discount", 1.01),
    ("discount", NAN), ("target_rate", 0.0), ("critics", 0), ("critics", 21),
    ("target_critics", 0),
    ("critic_hidden", (0,)), ("critic_learning_rate", 0.0), ("actor_learning_rate", -1e-3),
    ("exploration_std", -0.1), ("exploration_std", NAN), ("anchor", -0.1), ("anchor_window", 0),
    ("box_penalty", -1.0), ("memory_capacity", 10), ("publish_every", 0),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_out_of_range(name, value):
    with pytest.raises(ValidationError, match=name):
        PorlConfig(**{name: value})


def test_the_error_names_setting_value_and_remedy():
    with pytest.raises(ConfigError, match=r"(?s)learner.*utd = 0: Input should be greater than"):
        parse(PorlConfig, {"utd": 0}, "learner")
    with pytest.raises(ConfigError, match="did you mean 'discount'"):
        parse(PorlConfig, {"discout": 0.9}, "learner")


@pytest.mark.parametrize("total", [1999, 2000])
def test_there_must_be_steps_left_to_learn_in(total):
    with pytest.raises(ValidationError, match=f"total_steps .{total}. must be above presample"):
        PorlConfig(presample_steps=2000, total_steps=total)


def test_the_anchor_only_fades():
    with pytest.raises(ValidationError, match="anchor_final .0.2. must not exceed anchor .0.1."):
        PorlConfig(anchor=0.1, anchor_final=0.2)


def test_without_presample_takes_away_the_stages_and_nothing_else():
    usual, naive = PorlConfig(utd=2), PorlConfig(utd=2).without_presample()
    taken = {"presample_steps", "warmup_mc_updates", "warmup_td_updates", "anchor", "anchor_final"}
    changed = {name for name, value in naive if value != getattr(usual, name)}
    assert changed == taken
    assert all(getattr(naive, name) == 0 for name in taken)
    PorlConfig.model_validate(naive.model_dump())  # and is valid
