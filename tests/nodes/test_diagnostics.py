"""What nodes say of themselves on /diagnostics, and what an operator's tools make of it."""

import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
import termios
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from by_hand import ACTIVATE, CONFIGURE
from running import System, running
from scripted_robot import ScriptedRobot, scripted_robot

from porl_ros.nodes.watching.health import Level, Rate, disk, lifecycle, percentile
from porl_ros.nodes.watching.overview import Overview

LAYOUTS = Path(__file__).parents[2] / "launch" / "layouts"
NUMERIC = {"std_msgs/msg/Float64", "std_msgs/msg/Int64", "std_msgs/msg/Bool"}


def test_rates_and_percentiles():
    rate = Rate()
    assert math.isnan(rate(10, now=1.0))
    assert rate(30, now=3.0) == 10.0
    assert math.isnan(rate(30, now=3.0))
    assert percentile(range(1, 101), 0.99) == 99
    assert math.isnan(percentile([], 0.99))


def test_a_full_disk_is_an_error_with_a_hint(tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 4e8})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    status = disk(tmp_path / "not" / "there" / "yet")
    assert status.level is Level.ERROR
    assert "free the disk" in status.text
    usage.free = 4e9
    assert disk(tmp_path).level is Level.WARN


def test_phases():
    levels = [lifecycle(phase).level for phase in ("active", "inactive", "unconfigured")]
    assert levels == [Level.OK, Level.WARN, Level.STALE]


@pytest.fixture(scope="module")
def robot(tmp_path_factory, config, base) -> Iterable[ScriptedRobot]:
    folder = tmp_path_factory.mktemp("diagnostics")
    with scripted_robot(folder, config, base, learner=True) as up:
        yield up


@pytest.fixture(scope="module")
def overview(robot) -> Iterable[Overview]:
    with Overview() as up:
        yield up


def says(robot: ScriptedRobot, overview: Overview, status: str, level: Level, text: str) -> bool:
    overview.spin(0.05)
    node = overview.nodes.get("policy")
    found = node and node.statuses.get(status)
    return bool(found) and found.level is level and text in found.text


def steps_said(overview: Overview) -> float:
    return overview.nodes["policy"].statuses["control"].values["steps"]


@pytest.mark.slow
def test_a_policy_node_says_what_is_wrong_and_what_helps(robot, overview):
    def until(status: str, level: Level, text: str) -> None:
        robot.until(lambda: says(robot, overview, status, level, text), f"{status} {text}")

    until("lifecycle", Level.STALE, "unconfigured; configure and activate it")
    robot.operator.change("policy", CONFIGURE, ACTIVATE)
    robot.act(20)
    until("lifecycle", Level.OK, "active")
    until("stop", Level.OK, "released")
    until("recording", Level.OK, "steps")
    until("learner", Level.WARN, "Start the fine-tuning node")
    robot.until(lambda: overview.spin(0.05) or steps_said(overview) >= 20, "steps are counted")
    control = overview.nodes["policy"].statuses["control"]
    assert control.values["latency_p99_ms"] >= control.values["latency_p50_ms"] > 0.0

    robot.silent.add("arm")
    until("watchdogs", Level.ERROR, "what helps: a fresh sample")
    robot.silent.clear()
    robot.act()
    robot.trigger("stop")
    until("stop", Level.ERROR, "call the service reset_stop")
    assert any("stopped: " in event.text for event in overview.events)
    robot.trigger("reset_stop")
    robot.act()
    until("stop", Level.OK, "released")


@pytest.mark.slow
def test_no_tick_is_missed_because_of_a_parameter(robot):
    """Follows the test above. Time passes by control periods, one with each parameter that is set,
    and each must bring its command: good values and bad ones."""
    robot.act()
    knobs = robot.operator
    names = ("explore", "velocity_scale", "takeover_timeout", "watchdog.repeated", "mode", "gate")
    values = (True, 0.5, 0.7, "continue", "lockstep", "nonsense")
    acted = missed = 0
    for number in range(100):
        sent, state = len(robot.commands), robot.state
        name, value = names[number % len(names)], values[number % len(values)]
        call = knobs.start_setting("policy", name, value)
        robot.run()
        robot.system.wait_for(call.done)
        robot.sync()
        if state == robot.state == ("acting", ""):
            acted += 1
            came = robot.system.monitor.wait_for(lambda sent=sent: len(robot.commands) > sent, 5.0)
            missed += not came  # the clock stands: no later tick can make up for it
    assert acted > 50
    assert missed == 0


@pytest.mark.slow
def test_the_terminal_view(tmp_path, base):
    with running(tmp_path, base, {"total_steps": 100_000}) as system:
        system.wait_for(lambda: (system.monitor.policy_version or 0) >= 1)
        command = [sys.executable, "-m", "porl_ros.cli", "top"]
        done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert set(found["nodes"]) == {"simulation", "policy", "finetune"}
        values = found["nodes"]["finetune"]["statuses"]["learning"]["values"]
        assert values["gradient_steps"] > 0
        assert found["nodes"]["policy"]["statuses"]["recording"]["values"]["rows"] > 0
        assert_topics_exist(system)
        other = subprocess.run(
            [*command, "--json", "--namespace", "arm7", "--patience", "1"], capture_output=True,
            text=True, timeout=120,
        )  # fmt: skip
        assert other.returncode == 1
        assert "no node of porl_ros is heard in the namespace arm7" in other.stderr
        assert watched_until(command, "updates a second") == 130


def watched_until(command: list[str], text: str) -> int:
    """Look at a live view until it shows a text, then press Ctrl-C; the exit code."""
    screen, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (50, 120))
    with subprocess.Popen(command, stdout=terminal, stderr=terminal) as live:
        os.close(terminal)
        shown = b""
        while text.encode() not in shown:
            shown += os.read(screen, 4096)
        live.send_signal(signal.SIGINT)
        try:
            while os.read(screen, 4096):
                pass
        except OSError:  # the other end is closed
            pass
        code = live.wait(60.0)
    os.close(screen)
    return code


def plotted(layout: str) -> set[str]:
    """Topics of a layout; each must be named with the field that holds its number."""
    text = (LAYOUTS / layout).read_text()
    if layout.endswith(".json"):
        json.loads(text)
        return set(re.findall(r'"value": "(/[a-z0-9_/]+)\.data"', text))
    curves = [curve.get("name") for curve in ElementTree.fromstring(text).iter("curve")]
    assert all(curve.endswith("/data") for curve in curves)
    return {curve.removesuffix("/data") for curve in curves}


def assert_topics_exist(system: System) -> None:
    """All that the layouts plot is on the graph, as what they take it for."""
    wanted = {topic for name in ("foxglove.json", "plotjuggler.xml") for topic in plotted(name)}
    assert len(wanted) > 15

    def present() -> dict[str, list[str]]:
        return dict(system.monitor.node.get_topic_names_and_types())

    system.wait_for(lambda: wanted <= set(present()))
    kinds = present()
    assert {kind for topic in wanted for kind in kinds[topic]} <= NUMERIC
