"""`porl replay`: looking at replay stores, and keeping them in order."""

import re
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ByteSize, TypeAdapter, ValidationError

from porl_ros.cli.options import DryRun, JsonOption, RobotOption

app = typer.Typer(
    help="Look at replay stores, prove them sound, keep them in order, bring data in and out.\n\n"
    "Start with `porl replay ls runs`, then `porl replay info STORE`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Store = Annotated[Path, typer.Argument(help="Folder of a replay store.")]
SECONDS = {"s": 1, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_size(text: str) -> int:
    """Bytes from `20GB` or `512MiB`."""
    try:
        size = TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        size = 0
    if size < 1:
        raise typer.BadParameter(f"'{text}' is no size; write for example 20GB or 512MiB")
    return int(size)


def parse_age(text: str) -> float:
    """Seconds from `30d` or `12h`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h|d|w)", text.strip())
    if not match or not float(match[1]):
        raise typer.BadParameter(f"'{text}' is no age; write for example 30d, 12h or 90min")
    return float(match[1]) * SECONDS[match[2]]


@app.command()
def ls(
    root: Annotated[Path, typer.Argument(help="Folder to look below.")] = Path("runs"),
) -> None:
    """List the stores below a folder: robots, runs, rows, episodes, size, and their state.

    The state is `writing`, `needs recovery` (the writer is gone; its robot's next one recovers
    what is acknowledged, or `porl replay repair`), `damaged` or `closed`. Example:
    `porl replay ls runs`
    """
    from porl_ros.cli.replay_ls import list_stores

    list_stores(root)


@app.command()
def info(
    store: Store,
    plot: Annotated[
        Path | None, typer.Option(help="Draw success, return, policy and rate into this PNG.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """What each run came to: episodes, success, returns, policy versions, who acted, rate.

    Example: `porl replay info runs/store --plot store.png`
    """
    from porl_ros.cli.replay_info import show_info

    show_info(store, plot, as_json)


@app.command()
def verify(store: Store) -> None:
    """Prove every checksum, every row number and the contract; changes nothing.

    Names every fault and its remedy, and exits with 1 if there is one. A store may be written
    meanwhile. Example: `porl replay verify runs/store`
    """
    from porl_ros.cli.replay_verify import verify_store

    raise typer.Exit(verify_store(store))


@app.command()
def repair(store: Store, dry_run: DryRun = False) -> None:
    """Set aside what is damaged, seal what dead writers left open, record what is lost.

    Nothing is deleted: damaged files are renamed to `*.damaged`. Runs that are being written are
    left alone. Example: `porl replay repair runs/store --dry-run`
    """
    from porl_ros.cli.replay_verify import repair_store

    raise typer.Exit(repair_store(store, dry_run))


@app.command()
def compact(
    store: Store,
    output: Annotated[Path, typer.Argument(help="New folder for the copy.")],
) -> None:
    """Copy a store into large compressed segments, and prove the copy row for row.

    The copy is a store like any other: learners, these tools and plain Zarr read it. Example:
    `porl replay compact runs/store archive/store`
    """
    from porl_ros.cli.replay_copy import copy

    copy([store], output)


@app.command()
def merge(
    stores: Annotated[list[Path], typer.Argument(help="Stores of one contract.")],
    output: Annotated[Path, typer.Argument(help="New folder for the store of all their runs.")],
) -> None:
    """Copy the runs of several stores into one, compact as `compact` does; names are kept.

    Stores of different contracts, and runs of the same name, are refused. Example:
    `porl replay merge monday/store tuesday/store week/store`
    """
    from porl_ros.cli.replay_copy import copy

    copy(stores, output)


@app.command()
def prune(
    store: Store,
    max_size: Annotated[
        str | None, typer.Option(help="Keep at most this much of each robot: 20GB, 512MiB.")
    ] = None,
    max_age: Annotated[
        str | None, typer.Option(help="Keep what was sealed in this time: 30d, 12h, 90min.")
    ] = None,
    dry_run: DryRun = False,
) -> None:
    """Drop whole oldest segments, robot by robot, until the limits hold.

    The newest segment of each run stays, and so does what a reader is reading. Example:
    `porl replay prune runs/store --max-size 20GB --max-age 30d --dry-run`
    """
    from porl_ros.cli.replay_copy import prune_store
    from porl_ros.replay.disk.retention import Retention

    if max_size is None and max_age is None:
        raise typer.BadParameter("give --max-size, --max-age or both; without, nothing is dropped")
    limits = Retention(
        max_bytes=None if max_size is None else parse_size(max_size),
        max_age=None if max_age is None else parse_age(max_age),
    )
    prune_store(store, limits, dry_run)


@app.command()
def export(
    store: Store,
    npz: Annotated[Path | None, typer.Option(help="New file of plain NumPy arrays.")] = None,
    mcap: Annotated[Path | None, typer.Option(help="New file for Foxglove, PlotJuggler.")] = None,
    run: Annotated[
        list[str] | None, typer.Option(help="Only this run, as ROBOT/RUN; may be repeated.")
    ] = None,
) -> None:
    """Write a store as plain arrays, or as a recording that standard viewers open.

    The arrays hold transitions with their next observations, and where episodes begin; they load
    with `numpy.load`. In the recording each run has its own topics, and named values are
    JointState messages, which viewers plot by name. Example:
    `porl replay export runs/store --npz store.npz --mcap store.mcap`
    """
    from porl_ros.cli.replay_copy import export_store

    if npz is None and mcap is None:
        raise typer.BadParameter("give --npz FILE, --mcap FILE or both")
    export_store(store, npz, mcap, run or [])


@app.command("import")
def import_(
    recording: Annotated[
        Path, typer.Argument(help="A rosbag2 folder, a .db3 or a .mcap file with ROS 2 messages.")
    ],
    store: Annotated[Path, typer.Option(help="Replay store to add to; made if it is not there.")],
    robot: RobotOption = "ur5e_insert",
    namespace: Annotated[str, typer.Option(help="Where the robot's topics are.")] = "",
    actor: Annotated[str, typer.Option(help="Who acted: human or expert.")] = "human",
    success: Annotated[
        str,
        typer.Option(
            help="Which episodes succeed: `contract` asks the robot config's function at each "
            "step, `always` and `never` speak for themselves, and a TOPIC says it with a "
            "std_msgs/Bool at the end of each episode."
        ),
    ] = "contract",
    episode_gap: Annotated[
        float | None,
        typer.Option(min=0.01, help="A longer pause in the commands [s] begins a new episode."),
    ] = None,
    only_successful: Annotated[
        bool, typer.Option("--only-successful", help="Leave out episodes without success.")
    ] = False,
) -> None:
    """Take recorded demonstrations in, as the robot would have recorded them itself.

    The recorded sources and commands go through the robot config at its control rate. Actions are
    what was sent on its command topic or, where that was not recorded, how the robot moved. Steps
    for which a source is missing or too old are left out, and counted. Example:
    `porl replay import rosbag2_2026_11_23 --store runs/demos --episode-gap 2`, then
    `porl bc --demos runs/demos --output runs/base`
    """
    from porl_ros.cli.replay_import import import_demonstrations

    if actor not in ("human", "expert"):
        raise typer.BadParameter(f"--actor '{actor}': must be human or expert")
    settings = {"namespace": namespace, "success": success, "only_successful": only_successful}
    import_demonstrations(recording, store, robot, actor, episode_gap=episode_gap, **settings)
