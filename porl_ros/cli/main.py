"""`porl`: one command for everything that is done from a terminal."""

import atexit
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from porl_ros import __version__
from porl_ros.cli import admit, calibrate, check, classifier, learn, policy, replay
from porl_ros.cli.exit_codes import ExitCode
from porl_ros.errors import PorlError

app = typer.Typer(
    help="Make a behaviour-cloned robot policy reliable while the robot works (PORL).\n\n"
    "Start with `porl demo`: a cloned policy that mostly fails is fine-tuned through real ROS 2 "
    "nodes in MuJoCo, in a few minutes on two CPU cores.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)
app.add_typer(replay.app, name="replay")
app.add_typer(policy.app, name="policy")
app.add_typer(classifier.app, name="classifier")
for command in (
    learn.demo, learn.demos, learn.bc, learn.evaluate, learn.finetune,
    check.check, calibrate.calibrate,
    admit.validate, admit.report, admit.rollout, admit.deploy, admit.rollback, admit.rehearse,
):  # fmt: skip
    app.command()(command)
errors = Console(stderr=True)


@atexit.register  # before multiprocessing registers its own clean-up, so that it runs after that
def _await_resource_tracker() -> None:
    """Leave no process behind: before Python 3.12 this helper outlives the command by a moment."""
    module = sys.modules.get("multiprocessing.resource_tracker")
    tracker = getattr(module, "_resource_tracker", None)
    if getattr(tracker, "_pid", None) and hasattr(tracker, "_stop"):  # a worker's is its parent's
        tracker._stop()


# What else there is


@app.command()
def top(
    namespace: Annotated[str, typer.Option(help="Only what is in this namespace.")] = "",
    once: Annotated[bool, typer.Option("--once", help="Show once, and end.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="For scripts: once, all that nodes say of themselves.")
    ] = False,
    patience: Annotated[
        float, typer.Option(min=0.5, max=600.0, help="Seconds to wait for the first node.")
    ] = 10.0,
) -> None:
    """Watch all robots and their learners in a terminal; Ctrl-C ends it.

    Listens to `/diagnostics` and the log, in the domain of ROS_DOMAIN_ID. Example: `porl top`
    """
    from porl_ros.cli.top import show

    show(namespace, once, as_json, patience)


@app.command()
def params(
    node: Annotated[str, typer.Argument(help="policy, finetune, gate or simulation.")] = "",
    reference: Annotated[
        bool, typer.Option("--reference", help="All of them, topics and services, as Markdown.")
    ] = False,
    configuration: Annotated[
        bool, typer.Option("--configuration", help="Every key of the YAML files, as Markdown.")
    ] = False,
    commands: Annotated[
        bool, typer.Option("--commands", help="Every command and the exit codes, as Markdown.")
    ] = False,
) -> None:
    """Print the parameters of a node with their defaults, as a commented YAML file to begin with.

    The other options print the pages of the reference in `docs/`. Example: `porl params policy >
    policy.yaml`, then `params_file:=policy.yaml` of a launch file.
    """
    from porl_ros.cli import commands as commands_page
    from porl_ros.cli import configuration as configuration_page
    from porl_ros.cli import params as parameters_page
    from porl_ros.nodes.settings import SETTINGS

    if reference:
        page = parameters_page.as_markdown()
    elif configuration:
        page = configuration_page.as_markdown()
    elif commands:
        page = commands_page.as_markdown(typer.main.get_command(app))
    elif node in SETTINGS:
        page = parameters_page.as_yaml(node)
    else:
        raise typer.BadParameter(f"'{node}': must be {', '.join(SETTINGS)}; or give --reference")
    print(page, end="")


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


def main() -> int:
    """Entry point; returns the exit code."""
    try:
        # typer returns the code of an Exit, 130 of Ctrl-C
        code = app(standalone_mode=False, prog_name="porl") or 0
    except PorlError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        return ExitCode.ERROR
    except (KeyboardInterrupt, typer.Abort):  # as other versions of typer do it
        code = ExitCode.INTERRUPTED
    except Exception as error:
        return _usage(error)
    if code == ExitCode.INTERRUPTED:
        errors.print("interrupted")
    return code


def _usage(error: Exception) -> int:
    """Show click's own errors as click does; let the others be seen."""
    if hasattr(error, "show") and hasattr(error, "exit_code"):
        error.show()
        return error.exit_code
    raise error


if __name__ == "__main__":
    sys.exit(main())
