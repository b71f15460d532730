"""`porl top`: how every robot and its learner are, for those who have a terminal only."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from porl_ros.errors import PorlError
from porl_ros.nodes.graph import stay_local

REFRESH = 0.5  # seconds
ROUND = 4.0  # seconds: beside training, nodes are found within 3; they speak once a second
LINES = 8  # of the log
COLOURS = {"OK": "green", "WARN": "yellow", "ERROR": "bold red", "STALE": "dim"}
# What, of which node, status and value, and how it is written
LINES_OF_A_ROBOT = (
    ("state", "policy", "control", "state", "{}"),
    ("policy version", "policy", "policy", "version", "{:.0f}"),
    ("steps a second", "policy", "control", "control_rate", "{:.1f}"),
    ("latency p99, ms", "policy", "control", "latency_p99_ms", "{:.1f}"),
    ("success, recent", "policy", "policy", "success_rate", "{:.0%}"),
    ("safety interventions", "policy", "control", "interventions", "{:.0f}"),
    ("watchdog alarms", "policy", "watchdogs", "alarms", "{:.0f}"),
    ("steps recorded", "policy", "recording", "rows", "{:.0f}"),
    ("recorded a second", "policy", "recording", "rows_per_second", "{:.1f}"),
    ("stage", "finetune", "learning", "stage", "{}"),
    ("updates a second", "finetune", "learning", "updates_per_second", "{:.0f}"),
    ("critic error", "finetune", "critics", "critic_error", "{:.3g}"),
    ("Q", "finetune", "critics", "value", "{:.2f}"),
)


def show(namespace: str, once: bool, as_json: bool, patience: float) -> None:
    """Show until Ctrl-C, or once. PorlError when nobody is heard within `patience` seconds."""
    stay_local()
    from porl_ros.nodes.watching.overview import Overview

    console = Console()
    with Overview() as overview:
        _await_somebody(overview, namespace, patience)
        if once or as_json:
            _hear_all(overview, namespace, patience)
            found = overview.snapshot(namespace)
            print(json.dumps(found, indent=2)) if as_json else console.print(screen(found))
            return
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            while True:
                live.update(screen(overview.snapshot(namespace)), refresh=True)
                overview.spin(REFRESH)


def _await_somebody(overview, namespace: str, patience: float) -> None:
    for _ in range(max(1, round(patience / REFRESH))):
        overview.spin(REFRESH)
        if overview.snapshot(namespace)["nodes"]:
            return
    where = f"in the namespace {namespace}" if namespace else "here"
    raise PorlError(
        f"no node of porl_ros is heard {where} within {patience:g} s: start one, and let "
        "ROS_DOMAIN_ID and ROS_AUTOMATIC_DISCOVERY_RANGE be those that it was started with"
    )


def _hear_all(overview, namespace: str, patience: float) -> None:
    """Listen for a round, and longer while somebody is there that has not spoken yet."""
    overview.spin(ROUND)
    for _ in range(round(patience / REFRESH)):
        if not overview.unheard(namespace):
            return
        overview.spin(REFRESH)


def screen(found: Mapping[str, Any]) -> Group:
    """A snapshot, drawn."""
    parts = [_robots(found["nodes"]), _complaints(found["nodes"]), _events(found["events"])]
    return Group(*filter(None, parts))


def _robots(nodes: Mapping[str, Any]) -> Table:
    """A column a namespace."""
    namespaces = sorted({name.rpartition("/")[0] for name in nodes})
    table = Table("", *(escape(f"/{namespace}") for namespace in namespaces))
    for label, node, *rest in LINES_OF_A_ROBOT:
        found = [nodes.get(f"{namespace}/{node}".lstrip("/")) for namespace in namespaces]
        if any(found):
            table.add_row(label, *(_cell(said, *rest) for said in found))
    return table


def _cell(node: Mapping[str, Any] | None, status: str, value: str, form: str) -> str:
    entry = (node or {}).get("statuses", {}).get(status)
    if entry is None or entry["values"].get(value) is None:
        return ""
    number = entry["values"][value]
    text = form.format(number) if isinstance(number, float) or form == "{}" else str(number)
    colour = COLOURS["STALE"] if node["silent"] else COLOURS[entry["level"]]
    return f"[{colour}]{escape(text)}[/]"


def _complaints(nodes: Mapping[str, Any]) -> Table | None:
    """What is not as it should be, and what to do."""
    table = Table("level", "node", "what", show_edge=False)
    for name, node in nodes.items():
        if node["silent"]:
            table.add_row("[dim]SILENT[/]", escape(f"/{name}"), "has said nothing for a while")
            continue
        for what, status in node["statuses"].items():
            if status["level"] != "OK":
                level = f"[{COLOURS[status['level']]}]{status['level']}[/]"
                table.add_row(level, escape(f"/{name}"), escape(f"{what}: {status['text']}"))
    return table if table.row_count else None


def _events(events: list[Mapping[str, str]]) -> Table | None:
    table = Table("at", "node", "last events", show_edge=False)
    for event in events[-LINES:]:
        colour = COLOURS.get(event["level"], "default")
        table.add_row(event["at"], escape(event["node"]), f"[{colour}]{escape(event['text'])}[/]")
    return table if table.row_count else None
