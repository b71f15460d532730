"""What tests of several rooms share: the contract, a cloned policy, and a graph of their own."""

import os
import signal
from pathlib import Path

import pytest
from graphs import take_domain

from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot

os.environ.pop("COLUMNS", None)  # xdist sets it; a console keeps what it finds when it is made
import porl_ros.cli.main  # noqa: E402, F401  first of ours: what it does at exit must come last

pytest_plugins = ["porl_ros.nodes.checks.testing"]  # as an installed porl_ros brings it along

WITH_NODES = (
    "tests/nodes/",
    "tests/launch/",
    "tests/cli/test_demo.py",
    "tests/cli/test_rehearse.py",
)
# Before any rclpy starts, and inherited by every node.
DOMAIN, HELD = take_domain()
os.environ["ROS_DOMAIN_ID"] = str(DOMAIN)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# A shell's background jobs ignore Ctrl-C, and so would whatever is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Real processes on a machine that others use: once more, and the summary says so."""
    if item.nodeid.startswith(WITH_NODES):
        item.add_marker(pytest.mark.flaky(reruns=1))


def pytest_terminal_summary(terminalreporter) -> None:
    """What went wrong the first time, which would be lost otherwise."""
    for report in terminalreporter.stats.get("rerun", ()):
        terminalreporter.section(f"first try of {report.nodeid}")
        terminalreporter.write_line(report.longreprtext)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """Of `make test`, which runs two tests at a time: those that run nodes are one worker's, for
    what they wait for depends on the clock."""
    from xdist.scheduler import LoadScopeScheduling

    class InTurn(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "nodes" if nodeid.startswith(WITH_NODES) else nodeid

    return InTurn(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Other tests stand back behind them, for what is left of their worker's life."""
    alone = "PYTEST_XDIST_WORKER" not in os.environ
    if not alone and not item.nodeid.startswith(WITH_NODES) and os.nice(0) < 10:
        os.nice(10)


@pytest.fixture(scope="session", autouse=True)
def _site(tmp_path_factory) -> None:
    """Nothing that is tested is written into this site's audit log, or signed with its key."""
    site = tmp_path_factory.mktemp("site")
    os.environ["PORL_AUDIT_LOG"] = str(site / "audit.jsonl")
    os.environ["PORL_SITE_KEY"] = str(site / "site.key")


@pytest.fixture(scope="session")
def config() -> RobotConfig:
    """The shipped insertion robot; frozen, so all tests may share it."""
    return load_robot("ur5e_insert")


@pytest.fixture(scope="session")
def demonstrations(tmp_path_factory) -> Path:
    """The store of the default base policy: ten demonstrations in the calibrated cell."""
    from porl_ros.cli.base_policy import record

    store = tmp_path_factory.mktemp("demonstrations") / "store"
    record("ur5e_insert", "calibrated", count=10, noise=0.2, seed=0, store=store)
    return store


@pytest.fixture(scope="session")
def base(tmp_path_factory, demonstrations) -> Path:
    """The bundle that is cloned from them, in a few seconds; read only."""
    from porl_ros.cli.base_policy import clone_policy

    bundle = tmp_path_factory.mktemp("base") / "base"
    clone_policy("ur5e_insert", demonstrations, bundle, epochs=300, std=0.2, seed=0)
    return bundle
