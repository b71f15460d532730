"""A learner that is killed and started again goes on, and the robot never stops for it.

PORL_LEARNER_KILLS=30 pytest tests/nodes/test_resume.py     # the long form
"""

import os
import random
import re
from pathlib import Path

import numpy as np
import pytest
from running import System, checkpoints, read_rows, running

from porl_ros.nodes.bringup.processes import NodeProcesses, ProcessDied
from porl_ros.nodes.watching.monitor import Monitor

pytestmark = pytest.mark.slow

KILLS = int(os.environ.get("PORL_LEARNER_KILLS", "1"))
LONG = {"presample_steps": 100, "total_steps": 1_000_000, "publish_every": 25}
LONG |= {"utd": 1, "batch_size": 16, "critic_hidden": [16]}  # quick to catch up
OFTEN = {"checkpoint_interval": 0.25}


def steps_go_on(system: System, by: int) -> None:
    goal = system.monitor.policy_steps + by
    system.wait_for(lambda: system.monitor.policy_steps >= goal)


def kill_and_restart(system: System, moment: float) -> None:
    """Wait for a moment of so many seconds, whatever it is doing then."""
    monitor, log = system.monitor, system.nodes.log_path("finetune")
    monitor.spin(moment)
    system.nodes.kill("finetune")
    said, (_, updates) = len(log.read_text()), checkpoints(system.folder)[-1]
    monitor.spin(0.3)  # what it had sent still arrives
    monitor.learner, version = {}, monitor.policy_version
    steps_go_on(system, by=60)  # without it
    assert monitor.policy_version >= version
    system.nodes.start(system.specs["finetune"])
    system.wait_for(lambda: monitor.learner)
    assert monitor.learner["gradient_steps"] >= updates
    told = re.search(
        r"resumed at gradient step (\d+), policy version (\d+)", log.read_text()[said:]
    )
    assert int(told[1]) == updates
    assert int(told[2]) >= version
    system.wait_for(lambda: monitor.policy_version > version + 1)


@pytest.mark.parametrize("mode", ["lockstep", "paced"])
def test_killed_and_started_again(tmp_path, base, mode):
    arguments = {"mode": mode, "real_time_factor": 10.0 if mode == "paced" else 1.0}
    with running(tmp_path, base, LONG, finetune=OFTEN, **arguments) as system:
        system.wait_for(lambda: (system.monitor.policy_version or 0) >= 2)
        rng = random.Random(KILLS)
        for _ in range(KILLS):
            kill_and_restart(system, rng.uniform(0.0, 1.0))
        assert set(system.nodes.stop().values()) == {0}
    assert (np.diff(read_rows(tmp_path / "store")["policy_version"]) >= 0).all()
    assert "Traceback" not in system.nodes.log_path("finetune").read_text()

    # It has ended in order, so nothing is done twice; but only by the same run
    rows, (steps, _) = len(read_rows(tmp_path / "store")["step"]), checkpoints(tmp_path)[-1]
    assert steps <= rows
    assert len(checkpoints(tmp_path)) == 2
    if mode == "lockstep":
        assert "seed: here 5, there 0" in refusal(system, tmp_path, {"seed": 5})


def refusal(system: System, folder: Path, other: dict) -> str:
    """What a learner says that is given other parameters; it ends with exit code 1."""
    spec = system.specs["finetune"]
    spec = spec._replace(name="other", parameters=spec.parameters | other)
    with NodeProcesses([spec], folder / "nodes") as nodes, Monitor() as monitor:
        with pytest.raises(ProcessDied, match="ended with code 1"):
            monitor.wait_for(lambda: False, 100.0, nodes.check)
        return nodes.log_tail("other")


def test_it_says_what_it_waits_for(tmp_path, base):
    """A learner that comes first, without store, policy node or robot."""
    with running(tmp_path, base, LONG, finetune=OFTEN, learner=True) as system:
        system.nodes.kill("policy")
        system.nodes.kill("simulation")
        rows = len(list((tmp_path / "store").glob("writers/*/*")))
        assert rows <= 1
        store = re.escape(str(tmp_path / "store"))
        waiting = rf"waiting for the (replay )?store {store}(: \d+ of 100 transitions)?\n"
        log = system.nodes.log_path("finetune")
        system.wait_for(lambda: re.search(waiting, log.read_text()))
        system.wait_for(lambda: system.monitor.learner.get("waiting_for"))
        assert system.nodes.stop() == {"finetune": 0}
