"""Two sessions on one store: the second goes on where the first ended."""

import pytest
from running import read_rows, running

pytestmark = pytest.mark.slow


def test_grants_count_the_rows_of_the_store_not_of_the_run(tmp_path, base):
    for total in (200, 300):
        with running(tmp_path, base, {"total_steps": total}) as system:
            system.wait_for(lambda: bool(system.monitor.learner.get("finished")))
            assert system.monitor.learner["env_steps"] == total
            assert system.nodes.stop() == {"finetune": 0, "policy": 0, "simulation": 0}
        assert len(read_rows(tmp_path / "store")["stamp"]) == total
