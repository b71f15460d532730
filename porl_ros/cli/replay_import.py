"""`porl replay import`: recordings become demonstrations."""

from collections.abc import Callable
from pathlib import Path

from rich.markup import escape

from porl_ros.cli.terminal import lines, progress, readable
from porl_ros.replay.recordings.bag_import import Imported, ImportSettings, import_recording
from porl_ros.replay.schema import Actor
from porl_ros.robot.loading import load_robot


def import_demonstrations(
    recording: Path, store: Path, robot: str, actor: str, **settings: object
) -> None:
    """Import a recording and say what became of it; `settings` are those of ImportSettings."""
    config = load_robot(robot)
    wanted = ImportSettings(actor=Actor[actor.upper()], **settings)
    with readable(recording), progress() as bar:

        def begin(total: int) -> Callable[[], None]:
            task = bar.add_task("reading", total=total or None)
            return lambda: bar.advance(task)

        found = import_recording(recording, config, store, wanted, begin)
    _tell(found, store)


def _tell(found: Imported, store: Path) -> None:
    for text, count in (found.refused + found.skipped).most_common():
        what = "messages refused" if text in found.refused else "steps left out"
        lines.print(f"note: {count} {what}: {escape(text)}")
    if found.unexplained:
        lines.print(
            f"[yellow]warning:[/] {found.unexplained} of {found.rows} commands ask for more than "
            "one action can; the action is as much of it as there is. `action.scale` and "
            "`max_lead` of the robot config say how much that is"
        )
    if failed := found.episodes - found.successes:
        lines.print(
            f"note: {failed} episodes did not succeed; cloning imitates them, too, unless "
            "--only-successful leaves them out"
        )
    source = "what was sent" if found.commanded else "how the robot moved (no commands recorded)"
    lines.print(
        f"{found.episodes} episodes, {found.successes} successful, {found.rows} transitions; "
        f"actions are {source} -> {escape(str(store))}, run {escape(found.run)}"
    )
