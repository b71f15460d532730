"""A policy node that is killed in the middle of an episode: nothing was terminated."""

import numpy as np
import pytest
from running import running

from porl_ros.replay import ReplayMemory, read_store
from porl_ros.replay.tools.episodes import episodes, own_numbers

pytestmark = pytest.mark.slow


def test_an_episode_that_is_cut_by_a_crash_is_truncated(tmp_path, config, base):
    with running(tmp_path, base, learner=False) as system:
        monitor, heard = system.monitor, lambda: monitor.policy_steps
        for _ in range(2):
            goal = heard() + 50
            system.wait_for(lambda goal=goal: heard() >= goal)
            monitor.spin(0.15)  # into the next episode, and on the disk
            system.nodes.kill("policy")
            system.nodes.start(system.specs["policy"])
            monitor.policy_steps = 0  # of the new process
        system.wait_for(lambda: heard() >= 50)
        assert system.nodes.stop() == {"policy": 0, "simulation": 0}
    chunks = read_store(tmp_path / "store")
    runs = sorted({chunk.run for chunk in chunks})
    assert len(runs) == 3
    horizon, finished = config.episode.horizon, episodes(chunks)
    own, memory = own_numbers(chunks, horizon), ReplayMemory(15, 3, 100_000, 0.99, 0)
    fed = [episode for chunk in chunks for episode in memory.extend(chunk)]
    assert [(e.run, e.number) for e in fed] == [(e.run, e.number) for e in finished]
    ended, cut = {(episode.run, episode.number) for episode in finished}, 0
    for run in runs[:2]:
        rows = np.concatenate([chunk.rows for chunk in chunks if chunk.run == run])
        last = rows[-1]
        number = run, int(last["episode"])
        assert last["terminated"] or last["truncated"]  # the next run has recovered it
        if number not in ended:  # killed in the middle, as nearly always
            cut += 1
            assert (last["truncated"], last["terminated"], last["reward"]) == (1, 0, 0.0)
            assert number not in own
    assert cut > 0
    batch = memory.sample(2000)
    assert np.array_equal(batch.terminated > 0, batch.reward > 0)  # only success is an end
