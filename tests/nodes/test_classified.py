"""A learned judge in the running policy node: it ends the episodes, as successes."""

import numpy as np
import pytest
from judged_episodes import record
from running import read_rows, running, write_config

from porl_ros.cli.classifier_training import train_and_save
from porl_ros.learning.classifier import load_classifier

pytestmark = pytest.mark.slow

STEPS, THRESHOLD, CONSECUTIVE = 400, 0.6, 2


def test_a_classifier_judges_what_the_policy_does(tmp_path, config, base, classifier):
    reward = {"source": "classifier", "path": str(classifier), "threshold": THRESHOLD}
    robot = write_config(tmp_path / "robot.yaml", reward=reward | {"consecutive": CONSECUTIVE})
    options = {"learner": False, "explore": False, "variant": "calibrated"}
    options |= {"extra": {"max_steps": STEPS}, "robot_config": str(robot)}
    with running(tmp_path, base, **options) as system:
        system.wait_for(lambda: system.monitor.policy_steps == STEPS)
        assert system.nodes.stop() == {"policy": 0, "simulation": 0}
    rows, judge = read_rows(tmp_path / "store"), load_classifier(classifier, config)
    sure = [judge.probability(seen) >= THRESHOLD for seen in rows["observation"]]
    ends = np.flatnonzero(rows["terminated"])
    assert len(ends) > 3
    assert (rows["reward"][ends] == 1.0).all()
    assert rows["reward"].sum() == len(ends)
    for end in ends:  # sure of what came of this step, which begins no row, and of the one before
        assert sure[end]
        episode = rows["episode"] == rows["episode"][end]
        said = np.array(sure)[episode]
        assert not (said[1:-1] & said[2:]).any()  # or it would have ended earlier


@pytest.fixture(scope="module")
def classifier(tmp_path_factory, config):
    folder = tmp_path_factory.mktemp("judge")
    record(config, folder / "store", successes=25, failures=15)
    train_and_save([folder / "store"], folder / "judge", "ur5e_insert", (64, 64), 0.9, 300, 0)
    return folder / "judge"
