"""`porl policy`: looking at policy bundles, and keeping their folders small."""

from pathlib import Path
from typing import Annotated

import typer

from porl_ros.cli.options import DryRun, JsonOption, RobotOption

app = typer.Typer(
    help="Look at policy bundles, compare them, and remove those that are not needed.\n\n"
    "Start with `porl policy ls runs/out/bundles`, then `porl policy show BUNDLE`.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Bundle = Annotated[Path, typer.Argument(help="Folder of a policy bundle.")]
StoreOption = Annotated[
    Path | None, typer.Option(help="Replay store that the policies have acted in.")
]


@app.command()
def ls(
    root: Annotated[Path, typer.Argument(help="Folder to look below.")] = Path("runs"),
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """List the bundles below a folder: version, training, size, and whether they are sound.

    With `--store` also how many episodes each has finished there, and how many successfully.
    Example: `porl policy ls runs/out/bundles --store runs/store`
    """
    from porl_ros.cli.policy_ls import list_policies

    list_policies(root, store, as_json)


@app.command()
def show(bundle: Bundle, as_json: JsonOption = False) -> None:
    """Verify a bundle, and show its manifest and the shapes of its weights.

    Exits with 1 if it is damaged, and says where. `--json` has its whole contract, too. Example:
    `porl policy show runs/out/bundles/000012`
    """
    from porl_ros.cli.policy_show import show_policy

    show_policy(bundle, as_json)


@app.command()
def diff(
    one: Bundle,
    other: Bundle,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """What differs between two bundles: manifests, weights layer by layer, and actions.

    Actions are compared on the newest observations of `--store`, else on random ones, spread as
    those that the first policy was cloned from. Example:
    `porl policy diff runs/base runs/out/bundles/000012 --store runs/store`
    """
    from porl_ros.cli.policy_show import show_difference

    show_difference(one, other, store, as_json)


@app.command()
def prune(
    folder: Annotated[Path, typer.Argument(help="Folder of versions, as a learner writes it.")],
    keep: Annotated[int, typer.Option(min=1, help="How many of the newest versions stay.")] = 10,
    protect: Annotated[
        list[int] | None, typer.Option(help="This version stays, too; may be repeated.")
    ] = None,
    store: StoreOption = None,
    dry_run: DryRun = False,
    as_json: JsonOption = False,
) -> None:
    """Remove old versions. The newest stay, and bases, and what is damaged.

    What the learner's checkpoints beside the folder go on from stays as well, and with `--store`
    the versions that acted last in its runs. A learner may be running. Example:
    `porl policy prune runs/out/bundles --keep 20 --store runs/store --dry-run`
    """
    from porl_ros.cli.policy_ls import prune_policies

    prune_policies(folder, keep, set(protect or []), store, dry_run, as_json)


@app.command("import")
def import_(
    file: Annotated[
        Path, typer.Argument(help="TorchScript, torch.export, torch.save, SB3 or safetensors.")
    ],
    output: Annotated[Path, typer.Option(help="New folder for the bundle.")],
    robot: RobotOption = "ur5e_insert",
    signature: Annotated[
        Path | None, typer.Option(help="YAML: what the policy takes and gives, in which order.")
    ] = None,
    residual: Annotated[
        float,
        typer.Option(min=0.01, max=2.0, help="Of a frozen one: how far a correction may go."),
    ] = 0.3,
    exploration_std: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="Noise with which the policy explores.")
    ] = 0.2,
    as_json: JsonOption = False,
) -> None:
    """Make a bundle of a policy that was trained elsewhere, to begin with and to improve.

    Layers with ReLU between them are learned on; any other policy is frozen, and a bounded
    correction is learned on top. Nothing pickled is carried out; TorchScript is read by torch, so
    take it from people you trust. docs/importing.md has the signature. Example:
    `porl policy import ppo.zip --output runs/base --signature ppo.yaml`
    """
    from porl_ros.cli.policy_import import import_bundle

    import_bundle(file, robot, output, signature, residual, exploration_std, as_json)
