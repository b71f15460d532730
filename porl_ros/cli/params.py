"""`porl params`: the parameters of the nodes, as YAML to begin with or as the reference."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from porl_ros.cli.reference import allowed, table
from porl_ros.nodes.bringup.description import SimulationBringup, ValidationBringup
from porl_ros.nodes.bringup.several import MultiBringup
from porl_ros.nodes.settings import SETTINGS, Setting, settings_of
from porl_ros.paths import share_dir

ACCESS = "launch/sros2_policy.xml"  # compared with the graph by a test
COMMON = ("~/", "/rosout", "/parameter_events", "/clock")  # of every node
INTRO = """\
# Parameters, topics and services

Made by `porl params --reference`; a test compares. `live` parameters change while a node works,
from the next control or environment step on; the others are fixed while it is configured, and
read-only ones are given at the start. Each node says on `NAME/config` (the learner on
`learner/config`) what is in force. `porl params policy` prints a file for `--params-file`.
"""


def as_yaml(node: str) -> str:
    """All parameters of a node with their defaults, commented. What launch files say themselves is
    commented out: a file wins over them."""
    lines = [
        f"# Parameters of the {node} node, with their defaults: porl params {node} > FILE",
        f"# ros2 run porl_ros {node}_node --ros-args --params-file FILE",
        "# What is commented out is an argument of the launch files.",
        f"/**/{node}:",
        "  ros__parameters:",
    ]
    arguments = _launch_arguments(node)
    for setting in settings_of(SETTINGS[node]()):
        out = "# " * (setting.name in arguments)
        lines += [f"    # {_explained(setting)}", f"    {out}{setting.name}: {_value(setting)}"]
    return "\n".join(lines) + "\n"


def _launch_arguments(node: str) -> set[str]:
    """Parameters that a bring-up gives to the node."""
    bringups = SimulationBringup(), MultiBringup(twin="twin"), ValidationBringup()
    specs = [spec for bringup in bringups for spec in bringup.nodes() if spec.name == node]
    return {name for spec in specs for name in spec.parameters}


def as_markdown() -> str:
    """The reference of all nodes: parameters, topics and services."""
    parts = [INTRO]
    for node, kind in SETTINGS.items():
        rows = [
            (f"`{s.name}`", f"`{_value(s)}`", allowed(s.schema), s.when, s.schema["description"])
            for s in settings_of(kind())
        ]
        head = ("parameter", "default", "allowed", "changes", "meaning")
        parts += [f"\n## The {node} node\n", *table(head, rows)]
    users = sorted(_users(share_dir() / ACCESS))
    for what in ("topic", "service"):
        rows = [(f"`{u.name}`", u.offered, u.used) for u in users if u.what == what and u.offered]
        head = (what, "published by" if what == "topic" else "offered by", "used by")
        parts += [f"\n## {what.capitalize()}s\n", *table(head, rows)]
    return "\n".join(parts) + "\n"


class _Use(NamedTuple):
    """Who offers a topic or a service, and who uses it."""

    name: str
    what: str
    offered: str
    used: str


def _users(access: Path) -> Iterator[_Use]:
    """As the access policy has it; names relative to the robot's namespace."""
    offers: dict[tuple[str, str], set[str]] = {}
    uses: dict[tuple[str, str], set[str]] = {}
    for profile in ElementTree.parse(access).iter("profile"):
        for part in profile:
            found = offers if {"publish", "reply"} & set(part.keys()) else uses
            for entry in part:
                if not entry.text.startswith(COMMON):
                    found.setdefault((entry.tag, entry.text), set()).add(profile.get("node"))
    for what, name in offers.keys() | uses.keys():
        key = what, name
        yield _Use(name, what, *(", ".join(sorted(of.get(key, ()))) for of in (offers, uses)))


def _explained(setting: Setting) -> str:
    choices = f"; {allowed(setting.schema)}" if allowed(setting.schema) else ""
    return f"{setting.schema['description']} ({setting.when}{choices})"


def _value(setting: Setting) -> str:
    return json.dumps(setting.default)
