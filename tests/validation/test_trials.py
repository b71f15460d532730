"""What the audit log says of trials, and how a robot was left."""

import numpy as np
import pytest

from porl_ros.policy.bundle import load_bundle
from porl_ros.policy.canary import Trial
from porl_ros.robot.config_gate import Canary
from porl_ros.validation import audit
from porl_ros.validation.trials import BEGUN, WENT_BACK, TrialLog


@pytest.fixture
def log(tmp_path, bundle) -> TrialLog:
    return TrialLog("arm", tmp_path / "store", load_bundle(bundle))


def test_a_robot_without_trials_was_left_in_no_way(log):
    assert log.left() is None
    audit.append("deployed", place="/p", bundle="/b")
    assert log.left() is None


def test_the_last_entry_of_this_store_counts(log, tmp_path, bundle):
    policy = load_bundle(bundle)
    log.write(BEGUN, policy, policy, returns=0)
    TrialLog("arm", tmp_path / "other", policy).write(WENT_BACK, policy, policy, returns=7)
    TrialLog("beside", tmp_path / "store", policy).write(WENT_BACK, policy, policy, returns=5)
    audit.append("admitted policy loaded", bundle=str(bundle))
    left = log.left()
    assert (left.event, left.returns, left.acts) == (BEGUN, 0, bundle)
    assert left.base == left.candidate == policy.manifest.weights_sha256


def test_what_a_trial_came_to_is_written_down(log, bundle):
    policy, trial = load_bundle(bundle), Trial(Canary(share=0.5), np.random.default_rng(0))
    for _ in range(8):
        trial.ended(trial.draw())  # the candidate succeeds, the other does not
    log.write("promoted", policy, policy, 2, trial.counts, trial)
    (entry,) = audit.read()
    assert entry["candidate"] == {"episodes": 4, "successes": 4}
    assert entry["incumbent"] == {"episodes": 4, "successes": 0}
    low, high = entry["better_by"]
    assert -1.0 <= low <= 1.0 == high
    assert entry["why"].startswith("it succeeded in 4 of 4 episodes")
    assert (entry["version"], entry["returns"]) == (policy.manifest.version, 2)


def test_an_entry_that_is_none_of_a_trial_is_refused(log, tmp_path):
    store = str(tmp_path / "store")
    audit.append("promoted", robot="arm", store=store, acts="/b", returns="many")
    with pytest.raises(audit.AuditError, match="is not one of a trial; name another log"):
        log.left()
