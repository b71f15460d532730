"""`porl policy import`: a policy that was made elsewhere, as a bundle."""

import json
from pathlib import Path

from porl_ros.cli.terminal import lines, readable
from porl_ros.configfile import load_model
from porl_ros.policy.bundle import save_bundle
from porl_ros.policy.importing import import_policy
from porl_ros.policy.signature import Signature
from porl_ros.robot.loading import load_robot


def import_bundle(
    path: Path, robot: str, output: Path, signature: Path | None, residual: float, std: float,
    as_json: bool,
) -> None:  # fmt: skip
    """Read, wire, check and write it; version 0."""
    config = load_robot(robot)
    declared = load_model(Signature, signature) if signature else Signature()
    with readable(path):
        imported = import_policy(path, config, declared, residual)
        manifest = save_bundle(
            output, imported.actor, config.contract, made_by="porl policy import", version=0,
            exploration_std=std,
        )  # fmt: skip
    if as_json:
        said = {"form": imported.form, "frozen": imported.frozen, "output": str(output)}
        print(json.dumps(said | {"weights_sha256": manifest.weights_sha256}))
        return
    how = (
        f"it stays as it is, and a correction of at most {residual:g} is learned on top of it"
        if imported.frozen
        else "learning goes on in it"
    )
    lines.print(f"{imported.form} -> {output}: {how}; look at it with `porl evaluate {output}`")
