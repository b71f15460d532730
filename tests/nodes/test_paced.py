"""By the clock, as on a robot: the policy keeps its rate while the learner learns."""

import time

import numpy as np
import pytest
from running import read_rows, running

pytestmark = pytest.mark.slow

STEPS, RATE = 200, 10.0
SETTINGS = {
    "presample_steps": 60,
    "total_steps": 10_000,
    "warmup_mc_updates": 20,
    "warmup_td_updates": 20,
    "publish_every": 20,
}


def test_a_paced_run_in_real_time_learns_and_reports_its_update_ratio(tmp_path, base):
    with running(tmp_path, base, SETTINGS, mode="paced", real_time_factor=1.0) as system:
        monitor = system.monitor
        system.wait_for(lambda: monitor.learner.get("env_steps", 0) > 0)
        begun, first = time.monotonic(), monitor.learner["env_steps"]
        system.wait_for(lambda: monitor.learner["env_steps"] >= STEPS)
        seconds = time.monotonic() - begun
        status = monitor.learner
        assert system.nodes.stop() == {"finetune": 0, "policy": 0, "simulation": 0}
    assert seconds > 0.8 * (STEPS - first) / RATE, "faster than real time"
    assert 0.0 < status["utd"] <= 4.0
    assert status["gradient_steps"] > 40
    rows = read_rows(tmp_path / "store")
    assert len(rows["stamp"]) >= STEPS
    assert rows["policy_version"].max() > 0
    same_episode = np.diff(rows["episode"]) == 0
    periods = np.diff(rows["stamp"])[same_episode] / 1e9
    assert abs(np.median(periods) - 1 / RATE) < 0.02 / RATE * 10
