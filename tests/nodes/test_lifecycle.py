"""By hand, through the lifecycle services, as an operator's tools do it: no restart is needed."""

from collections.abc import Iterable

import pytest
from by_hand import (
    ACTIVATE,
    ACTIVE,
    CLEANUP,
    CONFIGURE,
    DEACTIVATE,
    INACTIVE,
    UNCONFIGURED,
    Operator,
)
from running import System, read_rows, running

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def system(tmp_path_factory, base) -> Iterable[System]:
    """A simulation, and a policy node that waits to be configured."""
    folder, extra = tmp_path_factory.mktemp("lifecycle"), {"autostart": False}
    with running(folder, base, extra=extra, learner=False) as up:
        yield up


@pytest.fixture(scope="module")
def operator(system) -> Operator:
    return Operator(system)


def steps_go_on(system: System) -> None:
    goal = system.monitor.policy_steps + 60
    system.wait_for(lambda: system.monitor.policy_steps >= goal)


def test_the_whole_life_of_a_policy_node(system, operator):
    assert operator.state("policy") == UNCONFIGURED
    assert operator.change("policy", CONFIGURE) == [True]
    assert operator.state("policy") == INACTIVE
    assert system.monitor.policy_version is None
    assert operator.change("policy", ACTIVATE) == [True]
    steps_go_on(system)

    assert operator.change("policy", DEACTIVATE) == [True]
    assert operator.state("policy") == INACTIVE
    stood = system.monitor.policy_steps
    assert operator.change("policy", ACTIVATE) == [True]
    assert operator.state("policy") == ACTIVE
    assert system.monitor.policy_steps >= stood  # it goes on with its run
    steps_go_on(system)

    assert operator.change("policy", DEACTIVATE, CLEANUP) == [True, True]
    assert operator.state("policy") == UNCONFIGURED
    system.wait_for(lambda: commanders(system) == 0)
    recorded = read_rows(system.folder / "store")
    assert len(recorded["step"]) >= 120

    system.monitor.policy_steps = 0
    assert operator.change("policy", CONFIGURE, ACTIVATE) == [True, True]
    steps_go_on(system)  # counted from 0: another run in the same store
    assert commanders(system) == 1
    assert len(list((system.folder / "store").glob("writers/*/*"))) == 2


def test_a_configure_that_is_refused_can_be_repeated_with_something_better(system, operator, base):
    """Follows the test above: the policy node is active."""
    operator.change("policy", DEACTIVATE, CLEANUP)
    operator.set_text("policy", "bundle", "/nowhere")
    assert operator.change("policy", CONFIGURE) == [False]
    assert operator.state("policy") == UNCONFIGURED
    assert "/nowhere: there is no policy bundle here" in system.nodes.log_tail("policy")
    operator.set_text("policy", "bundle", str(base))
    assert operator.change("policy", CONFIGURE, ACTIVATE) == [True, True]
    steps_go_on(system)


def test_a_simulation_that_is_configured_anew_is_found_again(system, operator):
    """Its clock begins anew, so the policy node begins a new episode."""
    assert operator.change("simulation", DEACTIVATE, CLEANUP) == [True, True]
    stood = system.monitor.policy_steps
    assert operator.change("simulation", CONFIGURE, ACTIVATE) == [True, True]
    system.wait_for(lambda: system.monitor.policy_steps > stood + 120)
    assert system.nodes.stop() == {"policy": 0, "simulation": 0}


def commanders(system: System) -> int:
    topic = "/forward_position_controller/commands"
    return len(system.monitor.node.get_publishers_info_by_topic(topic))
