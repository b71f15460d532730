"""Commands that judge a policy and let it act: validate, report, rollout, deploy, rollback,
rehearse."""

from pathlib import Path
from typing import Annotated

import typer

from porl_ros.cli.options import BundleArgument, CellOption, RobotOption, SeedOption

PlaceOption = Annotated[
    Path, typer.Option("--place", help="Link that `robot.launch.py bundle:=` is given.")
]


def validate(
    bundle: BundleArgument,
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


def rollout(
    bundle: BundleArgument,
    robot: RobotOption = "ur5e_insert",
    episodes: Annotated[int, typer.Option(min=1, max=100_000, help="Episodes to run.")] = 20,
    success: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Share of them; default: gate.rule.success."),
    ] = None,
    gate: Annotated[bool, typer.Option(help="Have the gate judge it first.")] = True,
    variant: CellOption = None,
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

    options = {"episodes": episodes, "gate": gate, "variant": variant or "", "seed": seed}
    options["timeout"] = timeout
    raise typer.Exit(roll_out_policy(robot, bundle, success, output, as_json, **options))


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


def rollback(place: PlaceOption = Path("deployed"), robot: RobotOption = "ur5e_insert") -> None:
    """Go back to the policy that was deployed before; the audit log has it.

    A robot that is running goes back to its base at once by the service `back_to_base`. Example:
    `porl rollback --place /srv/arm1/policy`
    """
    from porl_ros.cli.deploy import roll_back

    raise typer.Exit(roll_back(robot, place))


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
