"""`porl policy ls` and `prune`: the versions in a folder."""

import json
from pathlib import Path

from rich.filesize import decimal
from rich.markup import escape

from porl_ros.cli.policy_store import Known, read_known
from porl_ros.cli.terminal import lines, readable, table_of, tables
from porl_ros.errors import PorlError
from porl_ros.learning.checkpoints import versions_resumed_from
from porl_ros.policy.bundle import Manifest
from porl_ros.policy.shelf import Shelved, find_bundles, prunable, prune


def list_policies(root: Path, store: Path | None, as_json: bool) -> None:
    """A line a bundle."""
    found, known = _find(root), _known(store)
    if as_json:
        print(json.dumps([_described(one, known) for one in found], indent=1))
    elif not found:
        lines.print(f"no policy bundle below {escape(str(root))}")
    else:
        table = table_of("bundle", "version", "stage", "trained", "success", "made", "state")
        for one in found:
            table.add_row(*_row(one, known))
        tables.print(table)


def prune_policies(
    folder: Path, keep: int, protect: set[int], store: Path | None, dry_run: bool, as_json: bool
) -> None:
    """Remove what may go, and say what."""
    found, known = [one for one in _find(folder) if one.path.parent == folder], _known(store)
    protect = protect | (known.acting if known else set())
    with readable(folder):
        protect |= versions_resumed_from(folder.parent / "checkpoints")
        going = prunable(found, keep, protect)
        if not dry_run:
            prune(going)
    freed = sum(one.size for one in going)
    if as_json:
        paths = [str(one.path) for one in going]
        print(json.dumps({"dry_run": dry_run, "removed": paths, "bytes": freed}, indent=1))
        return
    for one in found:
        if not one.sound:
            lines.print(f"[yellow]left alone:[/] {escape(one.fault)}")
    which = ", ".join(f"{one.manifest.version}" for one in going)
    lines.print(
        f"{'would remove' if dry_run else 'removed'} {len(going)} of {len(found)} versions, "
        f"{decimal(freed)}" + (f": {which}" if going else "")
    )


def stage(manifest: Manifest) -> str:
    """In which stage of its life a policy is."""
    if manifest.parent is None:
        return "base"
    returns = sum(manifest.returns.values())
    again = f", after going back {returns} times" if returns else ""
    return f"fine-tuned{again}"


def _find(root: Path) -> list[Shelved]:
    if not root.is_dir():
        raise PorlError(f"{root}: there is no such folder; name one that holds bundles")
    with readable(root):
        return find_bundles(root)


def _known(store: Path | None) -> Known | None:
    if store is None:
        return None
    with readable(store):
        return read_known(store)


def _row(one: Shelved, known: Known | None) -> list[str]:
    state = "[green]sound[/]" if one.sound else f"[red]{escape(one.fault)}[/]"
    said, where = one.manifest, escape(str(one.path))
    if said is None:
        return [where, "", "", "", "", decimal(one.size), state]
    success = known.success(said.version) if known else None
    outcomes = known.outcomes.get(said.version, []) if known else []
    return [
        where,
        str(said.version),
        stage(said),
        f"{said.env_steps:,} steps\n{said.gradient_steps:,} updates",
        "unknown" if success is None else f"{success:.2f} of {len(outcomes)}",
        f"{said.made_at[:16].replace('T', ' ')}\n{decimal(one.size)}",
        f"{state}\n{said.weights_sha256[:8]}",
    ]


def _described(one: Shelved, known: Known | None) -> dict:
    described = {"path": str(one.path), "bytes": one.size, "fault": one.fault or None}
    if one.manifest is None:
        return described
    said = one.manifest
    names = ("version", "env_steps", "gradient_steps", "returns", "weights_sha256", "parent")
    described |= {name: getattr(said, name) for name in (*names, "contract_hash", "made_at")}
    success = known.success(said.version) if known else None
    episodes = len(known.outcomes.get(said.version, [])) if known else None
    return described | {"stage": stage(said), "success": success, "episodes": episodes}
