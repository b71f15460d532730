"""`porl policy show` and `diff`: one bundle, and how far another is from it."""

import json
from pathlib import Path

from rich.markup import escape

from porl_ros.cli.policy_ls import stage
from porl_ros.cli.policy_store import read_known
from porl_ros.cli.terminal import lines, readable, table_of, table_of_values, tables
from porl_ros.errors import PorlError
from porl_ros.policy.bundle import WEIGHTS, PolicyBundle, load_bundle
from porl_ros.policy.difference import actions, fields, random_observations, weights

RANDOM = 1000  # observations


def show_policy(path: Path, as_json: bool) -> None:
    """Its manifest and the shapes of its tensors; BundleError for a damaged one."""
    bundle = load_bundle(path)
    said = bundle.manifest.model_dump(mode="json")
    shapes = {name: list(tensor.shape) for name, tensor in bundle.actor.state_dict().items()}
    if as_json:
        print(json.dumps({"manifest": said, "tensors": shapes, "verified": True}, indent=1))
        return
    table = table_of_values("what", "is")
    for name, value in said.items():
        if name not in ("contract", "program"):
            table.add_row(name, escape(_text(value)))
    table.add_row("stage", stage(bundle.manifest))
    tables.print(table)
    table = table_of("tensor", "shape", "numbers")
    for name, tensor in bundle.actor.state_dict().items():
        table.add_row(name, " x ".join(map(str, tensor.shape)), f"{tensor.numel():,}")
    tables.print(table)
    lines.print(
        f"[green]verified:[/] {WEIGHTS} has the hash that the manifest names, fits it, and holds "
        "finite numbers; the contract has its hash"
    )


def show_difference(first: Path, second: Path, store: Path | None, as_json: bool) -> None:
    """What differs; nothing is a difference, too."""
    one, other = load_bundle(first), load_bundle(second)
    changed, moved = list(fields(one.manifest, other.manifest)), weights(one, other)
    observations, where = _observations(one, store)
    apart = actions(one, other, observations)
    per_element = dict(zip(_action_names(one), apart.mean(0).tolist(), strict=True))
    if as_json:
        report = {
            "manifest": {name: [_plain(a), _plain(b)] for name, a, b in changed},
            "weights": {c.name: c._asdict() for c in moved},
            "actions": {"observations": len(apart), "from": where, "mean": per_element},
        }
        report["actions"]["largest"] = float(apart.max())
        print(json.dumps(report, indent=1))
        return
    table = table_of_values("manifest", escape(str(first)), escape(str(second)))
    for name, a, b in changed:
        table.add_row(name, escape(_text(a)), escape(_text(b)))
    tables.print(table)
    table = table_of("tensor", "moved by", "share of its length", "largest")
    for change in moved:
        share = f"{change.distance / change.length:.2%}" if change.length else ""
        table.add_row(change.name, f"{change.distance:.3g}", share, f"{change.largest:.3g}")
    tables.print(table)
    elements = ", ".join(f"{escape(name)} {mean:.3f}" for name, mean in per_element.items())
    lines.print(
        f"actions on {len(apart)} {where} observations, in half-widths of the box: apart by "
        f"{apart.mean():.3f} on average ({elements}), {apart.max():.3f} at most"
    )


def _observations(bundle: PolicyBundle, store: Path | None):
    if store is None:
        return random_observations(bundle, RANDOM), "random"
    with readable(store):
        observations = read_known(store).observations
    if not len(observations) or observations.shape[1] != bundle.manifest.observation_size:
        raise PorlError(
            f"{store}: holds {len(observations)} observations of {observations.shape[1]} elements; "
            f"the policy takes {bundle.manifest.observation_size}; name the store it acted in"
        )
    return observations, "recorded"


def _action_names(bundle: PolicyBundle) -> list[str]:
    """As the manifest's saturation names them, where it does."""
    size, named = bundle.manifest.action_size, list(bundle.manifest.saturation)
    return named if len(named) == size else [f"action {i}" for i in range(size)]


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else value


def _text(value: object) -> str:
    value = _plain(value)
    return value if isinstance(value, str) else json.dumps(value)
