"""`porl`: one command for everything that is done from a terminal."""

import atexit
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from porl_ros import __version__
from porl_ros.cli import calibrate, check, classifier, policy, replay
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
app.command()(calibrate.calibrate)
app.command()(check.check)
errors = Console(stderr=True)


@atexit.register  # before multiprocessing registers its own clean-up, so that it runs after that
def _await_resource_tracker() -> None:
    """Leave no process behind: before Python 3.12 this helper outlives the command by a moment."""
    module = sys.modules.get("multiprocessing.resource_tracker")
    tracker = getattr(module, "_resource_tracker", None)
    if getattr(tracker, "_pid", None) and hasattr(tracker, "_stop"):  # a worker's is its parent's
        tracker._stop()


RobotOption = Annotated[
    str, typer.Option("--robot", help="Robot config: a path, or a shipped name.")
]
SeedOption = Annotated[int, typer.Option(min=0, max=100_000, help="Seed of everything random.")]


@app.command()
def demo(
    seed: SeedOption = 0,
    robot: RobotOption = "ur5e_insert",
    output: Annotated[Path | None, typer.Option(help="Run folder; default runs/<stamp>.")] = None,
    presample: Annotated[
        bool,
        typer.Option(help="Pre-sample, critic warm-up and anchor. Without: watch the collapse."),
    ] = True,
    learner_config: Annotated[Path | None, typer.Option(help="YAML with learner settings.")] = None,
    video: Annotated[bool, typer.Option(help="Render base and result side by side.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
) -> None:
    """Clone a policy, watch it fail, fine-tune it through three ROS 2 nodes, compare.

    Example: `porl demo --seed 1`. Then look into the run folder: `summary.json`, `curve.png`,
    `comparison.gif`, `store/`, `learner/bundles/`, `learner/tensorboard/`.
    """
    from porl_ros.cli.demo import Demo

    Demo(robot, seed, output, presample, learner_config, video, device).run()


@app.command()
def demos(
    store: Annotated[
        Path, typer.Option(help="New folder for the demonstrations (a replay store).")
    ],
    robot: RobotOption = "ur5e_insert",
    variant: Annotated[
        str, typer.Option(help="Cell of the scene to demonstrate in.")
    ] = "calibrated",
    count: Annotated[
        int, typer.Option(min=1, max=100_000, help="Successful episodes to keep.")
    ] = 10,
    noise: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Std of noise on the expert's actions.")
    ] = 0.2,
    seed: SeedOption = 0,
) -> None:
    """Record demonstrations of the scripted expert.

    Example: `porl demos --store runs/demos --count 10`
    """
    from porl_ros.cli.base_policy import record

    record(robot, variant, count, noise, seed, store)


@app.command()
def bc(
    demos: Annotated[Path, typer.Option(help="Replay store with demonstrations.")],
    output: Annotated[Path, typer.Option(help="New folder for the policy bundle.")],
    robot: RobotOption = "ur5e_insert",
    epochs: Annotated[int, typer.Option(min=1, max=100_000, help="Passes over the data.")] = 300,
    exploration_std: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="Noise with which the policy explores.")
    ] = 0.2,
    seed: SeedOption = 0,
) -> None:
    """Clone a policy from demonstrations into a bundle that can be fine-tuned.

    Example: `porl bc --demos runs/demos --output runs/base`
    """
    from porl_ros.cli.base_policy import clone_policy

    clone_policy(robot, demos, output, epochs, exploration_std, seed)


@app.command()
def evaluate(
    bundle: Annotated[Path, typer.Argument(help="Policy bundle.")],
    robot: RobotOption = "ur5e_insert",
    variant: Annotated[str | None, typer.Option(help="Cell; default: the robot config's.")] = None,
    episodes: Annotated[
        int, typer.Option(min=1, max=100_000, help="Episodes, each on its own seed.")
    ] = 50,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first episode.")
    ] = 2_000_000_000_000,
) -> None:
    """Run a policy in headless MuJoCo, without exploration, and report its success.

    Example: `porl evaluate runs/base --variant calibrated`
    """
    from porl_ros.cli.base_policy import evaluate_policy

    evaluate_policy(robot, bundle, variant, episodes, seed)


@app.command()
def validate(
    bundle: Annotated[Path, typer.Argument(help="Policy bundle.")],
    robot: RobotOption = "ur5e_insert",
    as_base: Annotated[
        bool,
        typer.Option("--as-base", help="Admit for fine-tuning, by the safety bounds alone."),
    ] = False,
    reference: Annotated[
        Path | None,
        typer.Option(help="Admitted bundle to compare with: the base, or what acts now."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default: one a core. Same result.")
    ] = None,
    video: Annotated[bool, typer.Option(help="Film the worst episodes for the report.")] = True,
    check: Annotated[
        bool, typer.Option("--check", help="Run nothing: say whether it is admitted here.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts: the record.")] = False,
) -> None:
    """Prove a policy in simulation before a physical robot runs it.

    Runs the suite of the robot's scene with the policy as it will act, judges it by `gate.rule`
    of the robot config, and writes a signed record and a report beside the bundle. Exits with 3
    when it is not admitted. A base to be improved: `--as-base`; what came of it:
    `--reference runs/base`. Example: `porl validate runs/base --as-base`
    """
    from porl_ros.cli.validate import check_admission, validate_policy

    if check:
        raise typer.Exit(check_admission(robot, bundle, as_json))
    raise typer.Exit(validate_policy(robot, bundle, as_base, reference, workers, video, as_json))


@app.command()
def report(
    path: Annotated[
        Path, typer.Argument(help="Output of a fine-tuning, run of `porl demo`, or bundle.")
    ],
    robot: Annotated[
        str | None, typer.Option(help="Robot config; default: the one that was used.")
    ] = None,
    store: Annotated[
        Path | None, typer.Option(help="Replay store of the fine-tuning, if it was moved.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="Of a bundle: what it was compared with, to show beside it.")
    ] = None,
    video: Annotated[bool, typer.Option(help="Film the episodes that went worst.")] = True,
) -> None:
    """Write one HTML file that tells what became of a fine-tuning, or of a validation once more.

    It needs nothing beside it. Of a fine-tuning it is `report.html` in that folder, of a bundle
    `BUNDLE.admission.html` beside it. Example: `porl report runs/out`
    """
    from porl_ros.cli.report import report_anything

    report_anything(path, robot, store, reference, video)


@app.command()
def rollout(
    bundle: Annotated[Path, typer.Argument(help="Policy bundle.")],
    robot: RobotOption = "ur5e_insert",
    episodes: Annotated[int, typer.Option(min=1, max=100_000, help="Episodes to run.")] = 20,
    success: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Share of them; default: gate.rule.success."),
    ] = None,
    gate: Annotated[bool, typer.Option(help="Have the gate judge it first.")] = True,
    variant: Annotated[str, typer.Option(help="Cell; default: the robot config's.")] = "",
    seed: SeedOption = 0,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds for all of it.")] = 300.0,
    output: Annotated[
        Path | None, typer.Option(help="New folder to keep store, record and logs in.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For scripts.")] = False,
) -> None:
    """Run a policy through the real nodes: gate, simulation and policy node, over DDS.

    For CI. Exits with 3 when the gate refuses it or too few episodes succeed; leaves no process and
    nothing of this site changed. Example: `porl rollout runs/base --robot robot.yaml --success 0.8`
    """
    from porl_ros.cli.rollout import roll_out_policy

    options = {"episodes": episodes, "gate": gate, "variant": variant, "seed": seed}
    options["timeout"] = timeout
    raise typer.Exit(roll_out_policy(robot, bundle, success, output, as_json, **options))


PlaceOption = Annotated[
    Path, typer.Option("--place", help="Link that `robot.launch.py bundle:=` is given.")
]


@app.command()
def deploy(
    bundle: Annotated[Path, typer.Argument(help="Admitted policy bundle.")],
    place: PlaceOption = Path("deployed"),
    robot: RobotOption = "ur5e_insert",
) -> None:
    """Let a robot begin with this policy, which must be admitted; the audit log has it.

    Example: `porl deploy runs/out/bundles/000012 --place /srv/arm1/policy`
    """
    from porl_ros.cli.deploy import deploy_policy

    raise typer.Exit(deploy_policy(robot, bundle, place))


@app.command()
def rollback(place: PlaceOption = Path("deployed"), robot: RobotOption = "ur5e_insert") -> None:
    """Go back to the policy that was deployed before; the audit log has it.

    A robot that is running goes back to its base at once by the service `back_to_base`. Example:
    `porl rollback --place /srv/arm1/policy`
    """
    from porl_ros.cli.deploy import roll_back

    raise typer.Exit(roll_back(robot, place))


@app.command()
def rehearse(
    robot: RobotOption = "ur5e_insert",
    output: Annotated[
        Path | None, typer.Option(help="Run folder; default runs/rehearsal-<stamp>.")
    ] = None,
    short: Annotated[bool, typer.Option("--short", help="In small: shows that it works.")] = False,
    seed: SeedOption = 0,
) -> None:
    """Rehearse a deployment on the twin: gate, canary, sabotage, withdrawal, rollback.

    A base is cloned, fine-tuned in simulation, judged, deployed to the twin that stands in for the
    robot, fine-tuned there, sabotaged, and rolled back. Exits with 4 unless all went as it must,
    and success stayed within a bound of the base's. Example: `porl rehearse --robot ur5e_insert`
    """
    from porl_ros.cli.rehearse import Rehearsal

    raise typer.Exit(Rehearsal(robot, output, short, seed).run())


@app.command()
def finetune(
    env: Annotated[
        str, typer.Option(help="Gymnasium environment id with Box spaces, or a robot config.")
    ],
    output: Annotated[Path, typer.Option(help="New folder for the result.")],
    base: Annotated[
        Path | None,
        typer.Option(help="Policy bundle to improve; without one, a new random policy."),
    ] = None,
    learner_config: Annotated[Path | None, typer.Option(help="YAML with learner settings.")] = None,
    presample: Annotated[bool, typer.Option(help="As in `porl demo`.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: SeedOption = 0,
) -> None:
    """Fine-tune without ROS: the same learner on a Gymnasium environment.

    Example: `porl finetune --env ur5e_insert --base runs/base --output runs/gym`
    """
    from porl_ros.cli.finetune import finetune_env

    finetune_env(env, output, base, learner_config, presample, device, seed)


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
