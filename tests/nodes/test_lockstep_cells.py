"""Every cell of the scene can be learned in, also one whose sensors miss a sample now and then."""

import pytest
from running import read_rows, running

from porl_ros.simulation.scene import SceneConfig

pytestmark = pytest.mark.slow


def test_lock_step_in_a_cell_that_loses_samples(tmp_path, base, config):
    assert SceneConfig.load(config.simulation.scene).variant("twin").dropped > 0
    options = {"learner": False, "variant": "twin", "extra": {"max_steps": 400}}
    with running(tmp_path, base, **options) as system:
        system.wait_for(lambda: system.monitor.policy_steps == 400)
        assert system.nodes.stop() == {"policy": 0, "simulation": 0}
        assert "dropped is 0 here" in system.nodes.log_tail("simulation")
    assert len(read_rows(tmp_path / "store")["step"]) == 400
