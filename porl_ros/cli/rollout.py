"""`porl rollout`: a policy in the loop, from a terminal or in CI."""

import json
import tempfile
from contextlib import nullcontext
from pathlib import Path

from rich.markup import escape

from porl_ros.cli.exit_codes import ExitCode
from porl_ros.cli.terminal import lines
from porl_ros.errors import PorlError
from porl_ros.nodes.checks.rollout import Rollout, roll_out
from porl_ros.paths import require_empty_or_missing
from porl_ros.robot.loading import load_robot
from porl_ros.validation.admission import NotAdmitted


def roll_out_policy(
    robot: str, bundle: Path, success: float | None, output: Path | None, as_json: bool, **options
) -> int:
    """Run it, say what came of it; returns the exit code. `output`: where everything is kept."""
    asked = _asked(robot, success)
    if output:
        require_empty_or_missing(output, "run")
    with nullcontext(output) if output else tempfile.TemporaryDirectory() as folder:
        try:
            done = roll_out(robot, bundle, Path(folder), **options)
        except NotAdmitted as error:
            lines.print(f"[bold red]not admitted[/] ({error.reason}): {escape(str(error))}")
            return ExitCode.NOT_GOOD_ENOUGH
    enough = done.success >= asked
    if as_json:
        print(json.dumps(_as_json(done, asked)))
    else:
        _show(done, asked, enough)
    return 0 if enough else ExitCode.NOT_GOOD_ENOUGH


def _asked(robot: str, success: float | None) -> float:
    rule = load_robot(robot).gate.rule.success
    if success is None and rule is None:
        raise PorlError(
            f"{robot}: gate.rule.success = null: says nothing of how good is enough; say it with "
            "--success"
        )
    return rule if success is None else success


def _show(done: Rollout, asked: float, enough: bool) -> None:
    low, high = done.interval
    if done.gate:
        lines.print(f"gate: {done.gate['decision']}: {escape(done.gate['why'])}")
    verdict = "[bold green]good enough[/]" if enough else "[bold red]falls short[/]"
    lines.print(
        f"{verdict}: success {done.success:.2f} (95 % interval {low:.2f} to {high:.2f}) in "
        f"{len(done.episodes)} episodes through the nodes, asked for is {asked:g}"
    )


def _as_json(done: Rollout, asked: float) -> dict:
    return {
        "success": done.success,
        "interval": done.interval,
        "asked": asked,
        "gate": done.gate,
        "episodes": [
            {"success": one.success, "steps": one.length, "return": one.ret}
            for one in done.episodes
        ],
    }
