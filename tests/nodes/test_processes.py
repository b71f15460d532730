"""Nodes as child processes: a death is told with its reason, and none is left behind."""

import pytest
from running import processes_of

from porl_ros.nodes.bringup import NodeSpec, SimulationBringup
from porl_ros.nodes.monitor import Monitor
from porl_ros.nodes.processes import NodeProcesses, ProcessDied

pytestmark = pytest.mark.slow


def log_says_up(nodes: NodeProcesses) -> bool:
    return "simulation of ur5e_insert is up" in nodes.log_path("simulation").read_text()


def test_a_node_that_dies_is_told_with_the_end_of_its_log_and_the_others_end(tmp_path):
    simulation = SimulationBringup(mode="paced").nodes()[0]
    wrong = NodeSpec("simulation_node", "wrong", {"robot_config": "ur55"})
    with NodeProcesses([simulation, wrong], tmp_path) as nodes, Monitor() as monitor:
        with pytest.raises(ProcessDied) as died:
            monitor.wait_for(lambda: False, 100.0, nodes.check)
        assert f"the wrong node ended with code 1; its log {tmp_path / 'wrong.log'}" in str(
            died.value
        )
        assert "ur55" in nodes.log_tail("wrong")
        assert len(processes_of(tmp_path)) == 1
        monitor.wait_for(lambda: log_says_up(nodes), 100.0)
        assert nodes.stop() == {"wrong": 1, "simulation": 0}
        assert processes_of(tmp_path) == []
        nodes.check()  # nothing is watched any more


def test_an_error_while_they_run_ends_them_too(tmp_path):
    def interrupted() -> None:
        simulation = SimulationBringup(mode="paced").nodes()[0]
        with NodeProcesses([simulation], tmp_path) as nodes, Monitor() as monitor:
            assert monitor.wait_for(lambda: log_says_up(nodes), 100.0, nodes.check)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert processes_of(tmp_path) == []
