"""Fully connected policies from their weights: stable-baselines3's, or any list of layers."""

import io
import re
import zipfile
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from porl_ros.errors import PorlError
from porl_ros.policy.files import read_file, unpack_tensors
from porl_ros.policy.network import Actor
from porl_ros.policy.program import Assembling, FrozenNetwork
from porl_ros.policy.signature import Activation, Signature, Wiring

MAX_BYTES = 256 * 2**20
SB3_POLICY = "policy.pth"  # in the archive that stable-baselines3 saves


class ImportRefused(PorlError):
    """A policy that cannot be taken over; the text says why, and what would do."""


class Layer(NamedTuple):
    """A linear layer: weight (out, in), bias (out,)."""

    name: str
    weight: Tensor
    bias: Tensor


class Layers(NamedTuple):
    """A fully connected policy."""

    layers: tuple[Layer, ...]
    activation: Activation
    squash: bool

    @property
    def sizes(self) -> tuple[int, int]:
        """How many elements it takes, and gives."""
        return self.layers[0].weight.shape[1], self.layers[-1].weight.shape[0]

    @property
    def learnable(self) -> bool:
        """Whether it is a network of our own kind, which can be learned on."""
        return not self.squash and (self.activation == "relu" or len(self.layers) == 1)


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file: safetensors, torch's, or stable-baselines3's archive. No pickle is
    carried out: torch reads tensors and nothing else. Raises ImportRefused."""
    content = read_file(path, MAX_BYTES, ImportRefused)
    if not content.startswith(b"PK") and content[8:9] == b"{":
        try:
            return unpack_tensors(content)
        except ValueError as error:
            raise ImportRefused(f"{path}: is no safetensors file: {error}") from None
    try:
        found = torch.load(io.BytesIO(_inner(content)), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises what it likes on what it does not like
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ImportRefused(
            f"{path}: torch reads no tensors from it ({first}); save `model.state_dict()` "
            "alone, with torch.save or safetensors"
        ) from None
    while isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise ImportRefused(
            f"{path}: holds {type(found).__name__}, not names and tensors; save "
            "`model.state_dict()`"
        )
    return {str(name): tensor for name, tensor in found.items()}


def _inner(content: bytes) -> bytes:
    """The weights in stable-baselines3's archive; another file as it is."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if SB3_POLICY in archive.namelist():
                if archive.getinfo(SB3_POLICY).file_size > MAX_BYTES:
                    raise ImportRefused(f"{SB3_POLICY}: is larger than {MAX_BYTES} bytes")
                return archive.read(SB3_POLICY)
    return content


def find_layers(tensors: Mapping[str, Tensor], signature: Signature) -> Layers:
    """The policy among the tensors. Raises ImportRefused."""
    names, activation, squash = _family(tensors)
    layers = tuple(_layer(tensors, name) for name in signature.layers or names)
    if not layers:
        raise ImportRefused("there is no layer among the tensors (two-dimensional, NAME.weight)")
    for one, other in pairwise(layers):
        if other.weight.shape[1] != one.weight.shape[0]:
            have = ", ".join(f"{n} {tuple(t.shape)}" for n, t in tensors.items() if t.dim() == 2)
            raise ImportRefused(
                f"layer '{other.name}' takes {other.weight.shape[1]} numbers and '{one.name}' "
                f"before it gives {one.weight.shape[0]}; name the policy's layers in their order "
                f"with `layers` in the signature; there are {have}"
            )
    squash = squash if signature.squash is None else signature.squash
    return Layers(layers, signature.activation or activation, squash)


def _family(tensors: Mapping[str, Tensor]) -> tuple[list[str], Activation, bool]:
    """Layers in order, activation and squash, as the names of the tensors tell."""
    if "action_net.weight" in tensors:  # stable-baselines3: PPO, A2C
        return [*_numbered(tensors, "mlp_extractor.policy_net."), "action_net"], "tanh", False
    if "actor.mu.weight" in tensors:  # SAC
        return [*_numbered(tensors, "actor.latent_pi."), "actor.mu"], "relu", True
    if "actor.mu.0.weight" in tensors:  # TD3, DDPG
        return _numbered(tensors, "actor.mu."), "relu", True
    return _numbered(tensors, ""), "relu", False


def _numbered(tensors: Mapping[str, Tensor], prefix: str) -> list[str]:
    """Layers whose names begin so, 2 before 10."""
    found = [n for n in tensors if n.startswith(prefix) and n.endswith(".weight")]
    names = [n.removesuffix(".weight") for n in found if tensors[n].dim() == 2]
    pieces = re.compile(r"(\d+)")
    return sorted(names, key=lambda n: [int(p) if p.isdigit() else p for p in pieces.split(n)])


def _layer(tensors: Mapping[str, Tensor], name: str) -> Layer:
    weight = tensors.get(f"{name}.weight")
    if weight is None or weight.dim() != 2:
        raise ImportRefused(f"layer '{name}': there is no two-dimensional tensor '{name}.weight'")
    bias = tensors.get(f"{name}.bias", torch.zeros(weight.shape[0]))
    if bias.shape != weight.shape[:1]:
        raise ImportRefused(f"layer '{name}': its bias is {tuple(bias.shape)}")
    for tensor in (weight, bias):
        if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
            raise ImportRefused(f"layer '{name}': holds values that are no finite numbers")
    return Layer(name, weight.float(), bias.float())


def as_actor(policy: Layers, wiring: Wiring) -> Actor:
    """The same function as a network of ours: order and scale go into the outer layers."""
    actor = Actor(
        wiring.observation_size, wiring.action_size, [len(x.bias) for x in policy.layers[:-1]]
    )
    mean, std = torch.zeros(wiring.observation_size), torch.ones(wiring.observation_size)
    mean[wiring.taken], std[wiring.taken] = map(torch.from_numpy, (wiring.mean, wiring.std))
    actor.set_normalisation(mean, std)
    weights, biases = [x.weight for x in policy.layers], [x.bias for x in policy.layers]
    arrangement = torch.from_numpy(wiring.arrangement())
    weights[-1], biases[-1] = arrangement @ weights[-1], arrangement @ biases[-1]
    first = torch.zeros(len(weights[0]), wiring.observation_size)
    first[:, wiring.taken] = weights[0]
    weights[0] = first
    tensors = {"mean": mean, "std": std}
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        tensors |= {f"layers.{2 * i}.weight": weight, f"layers.{2 * i}.bias": bias}
    actor.load_state_dict(tensors)
    return actor


def as_program(policy: Layers, wiring: Wiring) -> FrozenNetwork:
    """The same function as a frozen list of operations."""
    making = Assembling()
    weight, bias = map(torch.from_numpy, wiring.selection())
    value = making.step("linear", making.observation, making.store(weight), making.store(bias))
    for i, layer in enumerate(policy.layers):
        if i:
            value = making.step(policy.activation, value)
        value = making.step("linear", value, making.store(layer.weight), making.store(layer.bias))
    if policy.squash:
        value = making.step("tanh", value)
    making.step("linear", value, making.store(torch.from_numpy(wiring.arrangement())))
    return making.network(wiring.observation_size, wiring.action_size)
