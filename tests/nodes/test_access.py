"""Who finds our nodes, what each of them may say and hear, and who may read what they write."""

import os
import stat
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable
from fnmatch import fnmatch
from pathlib import Path

import pytest
from running import System, running

from porl_ros.nodes.bringup.description import ValidationBringup

pytestmark = pytest.mark.slow

POLICY = Path(__file__).parents[2] / "launch" / "sros2_policy.xml"
NODES = "simulation", "policy", "policy_stop", "finetune", "gate"
NAMESPACE = "/arm1"
# What the graph says of a node, and how the policy file calls it
KINDS = {
    "publisher": ("topic", "publish"),
    "subscriber": ("topic", "subscribe"),
    "service": ("service", "reply"),
    "client": ("service", "request"),
}
GROUP = "0100FFEF"  # 239.255.0.1, by which DDS finds participants of other machines


def allowed() -> dict[tuple[str, str], set[str]]:
    """By node and kind the full names that the policy file allows in the namespace."""
    found: dict[tuple[str, str], set[str]] = {}
    text = POLICY.read_text().replace('ns="/"', f'ns="{NAMESPACE}"')  # as docs/security.md says
    for profile in ElementTree.fromstring(text.partition("?>")[2]).iter("profile"):
        node, namespace = profile.get("node"), profile.get("ns")
        for kind, (what, how) in KINDS.items():
            names = {
                expression.text.replace("~", f"{namespace}/{node}", 1)
                for part in profile
                if part.get(how) == "ALLOW"
                for expression in part.iter(what)
            }
            found[node, kind] = {n if n[0] == "/" else f"{namespace}/{n}" for n in names}
    return found


def used(system: System) -> dict[tuple[str, str], set[str]]:
    """The same, as the graph is."""
    node, found = system.monitor.node, {}
    for name in NODES:
        for kind in KINDS:
            ask = getattr(node, f"get_{kind}_names_and_types_by_node")
            found[name, kind] = {topic for topic, _ in ask(name, NAMESPACE)}
    return found


def matching(names: set[str], patterns: Iterable[str]) -> set[str]:
    return {name for name in names if any(fnmatch(name, pattern) for pattern in patterns)}


def test_the_policy_file_allows_what_nodes_do_and_nothing_else(tmp_path, base):
    """In a namespace: there a name that is relative here and absolute there shows, too."""
    wanted = allowed()
    with running(tmp_path, base, extra={"deadman_button": 1}, namespace=NAMESPACE) as system:
        for spec in ValidationBringup().nodes():
            system.nodes.start(spec)

        def is_known() -> bool:
            try:
                found = used(system)
            except RuntimeError:  # a node that is not there yet
                return False
            return all(len(found[key]) >= len(wanted[key]) for key in found)

        system.wait_for(is_known)
        found = used(system)
    for key, names in found.items():
        assert matching(names, wanted[key]) == names, key
        assert {p for p in wanted[key] if matching(names, [p])} == wanted[key], key
    said = set().union(*(found[node, "publisher"] for node in NODES))
    assert matching(said, wanted["operator", "subscriber"]) == said  # a person hears everything
    heard = set().union(*(found[node, "subscriber"] for node in NODES))
    may = matching(heard, wanted["operator", "publisher"])
    assert may >= {f"{NAMESPACE}/stop", f"{NAMESPACE}/teleop/twist"}
    assert f"{NAMESPACE}/forward_position_controller/commands" in heard - may


def group_is_joined() -> bool:
    return GROUP in Path("/proc/net/igmp").read_text()


@pytest.mark.parametrize("asked", [None, "SUBNET"])
def test_nodes_are_found_from_elsewhere_only_if_asked(tmp_path, asked):
    if group_is_joined():
        pytest.skip("some other program takes part in DDS discovery of the whole network")
    environment = dict(os.environ)
    environment.pop("ROS_AUTOMATIC_DISCOVERY_RANGE")
    environment |= {"ROS_AUTOMATIC_DISCOVERY_RANGE": asked} if asked else {}
    command = [sys.executable, "-m", "porl_ros.nodes.simulation_node", "--ros-args"]
    command += ["-p", "robot_config:=ur5e_insert"]
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as node:
        said = ""
        try:
            while "simulation of ur5e_insert is up" not in said:
                line = node.stderr.readline()
                assert line, said
                said += line
            assert group_is_joined() is (asked is not None)
            assert ("seen on this machine only" in said) is (asked is None)
        finally:
            node.terminate()
            node.communicate(timeout=30.0)


def test_files_are_not_for_everyone(tmp_path, base):
    """Under the usual umask others may look at stores and bundles, and change nothing."""
    before = os.umask(0o022)
    try:
        with running(tmp_path, base, finetune={"checkpoint_interval": 0.2}) as system:
            system.wait_for(lambda: bool(system.monitor.learner.get("finished")))
            system.nodes.stop()
    finally:
        os.umask(before)
    modes = {path: path.lstat().st_mode for path in tmp_path.rglob("*")}
    assert not [path for path, mode in modes.items() if mode & (stat.S_IWGRP | stat.S_IWOTH)]
    bundles = [p for p in (tmp_path / "learner" / "bundles").rglob("*") if p.is_file()]
    assert bundles
    assert {stat.S_IMODE(modes[path]) for path in bundles} == {0o444}
    checkpoints = tmp_path / "learner" / "checkpoints"
    assert stat.S_IMODE(modes[checkpoints]) == 0o700
    assert {stat.S_IMODE(modes[p]) for p in checkpoints.rglob("*") if p.is_file()} == {0o400}
