"""`porl deploy` and `porl rollback`: which policy a robot begins with."""

from pathlib import Path

from rich.markup import escape

from porl_ros.cli.exit_codes import ExitCode
from porl_ros.cli.terminal import lines, readable
from porl_ros.robot.loading import load_robot
from porl_ros.validation.admission import NotAdmitted
from porl_ros.validation.deployment import deploy, rollback


def deploy_policy(robot: str, bundle: Path, place: Path) -> int:
    """Returns the exit code."""
    return _change(place, lambda: deploy(place, bundle, load_robot(robot)))


def roll_back(robot: str, place: Path) -> int:
    """Returns the exit code."""
    return _change(place, lambda: rollback(place, load_robot(robot)))


def _change(place: Path, change) -> int:
    try:
        with readable(place):
            change()
    except NotAdmitted as error:
        lines.print(f"[bold red]not admitted[/] ({error.reason}): {escape(str(error))}")
        return ExitCode.NOT_GOOD_ENOUGH
    lines.print(
        f"{escape(str(place))} -> {escape(str(place.resolve()))}; a policy node takes it when it "
        "is configured the next time"
    )
    return 0
