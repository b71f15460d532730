"""Policies that people have already: read, wired to the contract, and made ready to be improved."""

import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import torch

from porl_ros.policy.files import read_file
from porl_ros.policy.importing_layers import (
    MAX_BYTES,
    ImportRefused,
    as_actor,
    as_program,
    find_layers,
    read_weights,
)
from porl_ros.policy.importing_modules import ExportedProgram, TorchScript
from porl_ros.policy.network import Actor
from porl_ros.policy.program import Assembling, FrozenNetwork, ProgramError
from porl_ros.policy.residual import ResidualActor
from porl_ros.policy.signature import Signature, Wiring
from porl_ros.robot.config import RobotConfig

__all__ = ["ImportRefused", "Imported", "import_policy"]

TRIED = 64  # random observations on which what was made is compared with what was brought
TOLERANCE = 1e-4


class Imported(NamedTuple):
    """A policy of ours that acts as the one that was brought, and in what form it came."""

    actor: Actor | ResidualActor
    form: str

    @property
    def frozen(self) -> bool:
        """Whether only a correction on top of it is learned."""
        return isinstance(self.actor, ResidualActor)


def import_policy(
    path: Path, config: RobotConfig, signature: Signature, residual_scale: float
) -> Imported:
    """Read a policy from a file. Raises ImportRefused, and ConfigError for the signature.

    Layers with ReLU between them become a network of ours, on which learning goes on. Any other is
    frozen, with a correction of at most `residual_scale` on top, which is 0 at first.
    """
    wiring, form = Wiring(signature, config), _form(path)
    if form == "layers":
        layers = find_layers(read_weights(path), signature)
        wiring.require_sizes(*layers.sizes)
        if layers.learnable:
            return Imported(as_actor(layers, wiring), form)
        network = as_program(layers, wiring)
    else:
        _refuse_layer_keys(signature, form)
        network = _from_module(path, form, wiring)
    _try(network)
    for tensor in network.buffers():
        if not torch.isfinite(tensor).all():
            raise ImportRefused(f"{path}: holds values that are not finite")
    return Imported(ResidualActor(network, residual_scale), form)


def _form(path: Path) -> str:
    """What a file is, by what is in it and not by its name."""
    content = read_file(path, MAX_BYTES, ImportRefused)
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return "layers"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = archive.namelist()
    if any(name.endswith("models/model.json") for name in names):
        return "exported program"
    return "TorchScript" if any("/code/" in name for name in names) else "layers"


def _refuse_layer_keys(signature: Signature, form: str) -> None:
    for key in ("activation", "squash", "layers"):
        if getattr(signature, key) is not None:
            raise ImportRefused(f"signature.{key}: is for weights alone; this {form} has its own")


def _from_module(path: Path, form: str, wiring: Wiring) -> FrozenNetwork:
    making = Assembling()
    weight, bias = map(torch.from_numpy, wiring.selection())
    taken = making.step("linear", making.observation, making.store(weight), making.store(bias))
    kind = ExportedProgram if form == "exported program" else TorchScript
    source = kind(read_file(path, MAX_BYTES, ImportRefused), making, taken)
    given = source.translate()
    making.step("linear", given, making.store(torch.from_numpy(wiring.arrangement())))
    try:
        network = making.network(wiring.observation_size, wiring.action_size)
    except (ProgramError, ValueError) as error:
        raise ImportRefused(
            f"{path}: does not fit the contract: takes {len(wiring.taken)} elements, gives "
            f"{len(wiring.given)}? ({error}); name them in the signature"
        ) from None
    if isinstance(source, TorchScript):
        _compare(network, source.module, wiring)
    return network


def _compare(network: FrozenNetwork, module: torch.nn.Module, wiring: Wiring) -> None:
    """What was made must say what was brought, on inputs anywhere around 0."""
    seen = torch.randn(TRIED, wiring.observation_size, generator=torch.Generator().manual_seed(0))
    weight, bias, out = map(torch.from_numpy, (*wiring.selection(), wiring.arrangement()))
    with torch.inference_mode():
        for row in seen:
            theirs = module((weight @ row + bias)[None])[0] @ out.T
            if not torch.allclose(network(row[None])[0], theirs, atol=TOLERANCE, rtol=TOLERANCE):
                raise ImportRefused(
                    "what was made of the policy does not act as the policy does: does it draw "
                    "random numbers, or keep something from step to step?"
                )


def _try(network: FrozenNetwork) -> None:
    """Many observations at once must give what they give one by one."""
    seen = torch.randn(TRIED, network.observation_size, generator=torch.Generator().manual_seed(1))
    try:
        together, alone = network(seen), torch.cat([network(row[None]) for row in seen])
    except ProgramError as error:
        raise ImportRefused(f"the policy takes one observation only: {error}") from None
    if not torch.allclose(together, alone, atol=TOLERANCE, rtol=TOLERANCE):
        raise ImportRefused("the policy's action depends on which observations come with it")
