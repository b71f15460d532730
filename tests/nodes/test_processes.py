"""Nodes as child processes: a death is told with its reason, and none is left behind."""

import subprocess
import sys

import pytest
from leftovers import processes_of

from porl_ros.nodes.bringup.description import NodeSpec, SimulationBringup
from porl_ros.nodes.bringup.processes import NodeProcesses, ProcessDied
from porl_ros.nodes.watching.monitor import Monitor

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


PARENT = """
import sys, time
from pathlib import Path
from porl_ros.nodes.bringup.description import SimulationBringup
from porl_ros.nodes.bringup.processes import NodeProcesses

with NodeProcesses(SimulationBringup(mode="paced").nodes()[:1], Path(sys.argv[1])):
    time.sleep(1000)
"""


def test_nodes_end_with_a_parent_that_is_killed(tmp_path):
    parent = subprocess.Popen([sys.executable, "-c", PARENT, tmp_path])
    log = tmp_path / "simulation.log"
    try:
        with Monitor() as monitor:
            assert monitor.wait_for(lambda: log.exists() and "is up" in log.read_text(), 100.0)
            parent.kill()
            parent.wait()
            assert monitor.wait_for(lambda: not processes_of(tmp_path), 30.0)
    finally:
        parent.kill()
