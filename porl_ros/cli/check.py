"""`porl check`: what is wrong with a robot config, and what to do about it."""

import json
from collections.abc import Iterator
from typing import Annotated, Literal

import typer
from rich.markup import escape
from rich.table import Table

from porl_ros.cli.exit_codes import ExitCode
from porl_ros.cli.terminal import lines, tables
from porl_ros.errors import ConfigError, PorlError
from porl_ros.paths import resolve_robot_config
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.checking import Finding, check_scene

COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


def check(
    config: Annotated[str, typer.Argument(help="Robot config: a path, or a shipped name.")],
    live: Annotated[
        bool | None,
        typer.Option(
            help="The ROS graph, too: must be there, or is not looked at. Default: if it is."
        ),
    ] = None,
    namespace: Annotated[str, typer.Option(help="Namespace of the robot.")] = "",
    mode: Annotated[
        Literal["paced", "lockstep"], typer.Option(help="How the policy node will run.")
    ] = "paced",
    seconds: Annotated[
        float, typer.Option(min=0.5, max=600.0, help="How long to listen to the topics.")
    ] = 3.0,
    episodes: Annotated[
        int, typer.Option(min=0, max=1000, help="Tries of the scripted expert in a cell.")
    ] = 5,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Check a robot config: in itself, against its scene, and against a graph that is up.

    Sends nothing to the robot. Exits with 3 if something is wrong, each with its remedy; with 0 if
    there are at most warnings. Example: `porl check my_arm.yaml --live --namespace arm1`
    """
    found = list(_findings(config, live, namespace, mode == "lockstep", seconds, episodes))
    count = {level: sum(f.level == level for f in found) for level in COLOURS}
    if as_json:
        report = {"config": config, "findings": [f._asdict() for f in found]}
        print(
            json.dumps(report | {"errors": count["error"], "warnings": count["warning"]}, indent=1)
        )
    else:
        tables.print(_table(found))
        lines.print(f"{config}: {count['error']} errors, {count['warning']} warnings")
    raise typer.Exit(ExitCode.NOT_GOOD_ENOUGH if count["error"] else 0)


def _findings(
    name: str, live: bool | None, namespace: str, lockstep: bool, seconds: float, episodes: int
) -> Iterator[Finding]:
    resolve_robot_config(name)  # one that is not there is no finding
    try:
        config = load_robot(name)
        yield Finding("ok", "config", f"{config.name}: every key is known and fits the others")
        yield from check_scene(config, episodes)
    except ConfigError as error:
        yield Finding("error", "config", str(error), "put it right; robot_configs/ has examples")
        return
    if live is not False:
        yield from _graph(config, namespace, lockstep, seconds, bool(live))


def _graph(
    config: RobotConfig, namespace: str, lockstep: bool, seconds: float, required: bool
) -> Iterator[Finding]:
    try:
        from porl_ros.nodes.checks.live import check_graph
    except ModuleNotFoundError as error:
        if required:
            raise PorlError(f"no ROS here ({error}); source it, or leave --live out") from None
        yield Finding("ok", "ROS graph", f"not looked at: no ROS here ({error})")
        return
    yield from check_graph(config, namespace, lockstep, seconds, required)


def _table(found: list[Finding]) -> Table:
    table = Table("", "of", "what", "what to do", show_lines=True)
    for finding in found:
        colour = COLOURS[finding.level]
        remedy = finding.remedy if finding.level != "ok" else ""
        texts = map(escape, (finding.subject, finding.text, remedy))
        table.add_row(f"[{colour}]{finding.level}[/]", *texts)
    return table
