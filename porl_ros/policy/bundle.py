"""Policy bundles: immutable folders with `weights.safetensors` and `manifest.json`. No pickle.

A bundle is written under a temporary name, synced, and renamed: it is there whole or not at all.
Its files may be read only; who may read them, the umask says.
"""

import hashlib
import json
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal, Self

import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    ValidationError,
    field_validator,
    model_validator,
)

from porl_ros.configfile import Width
from porl_ros.errors import ContractMismatch, PorlError
from porl_ros.policy.files import (
    expected_size,
    pack_tensors,
    read_file,
    unpack_tensors,
    write_folder,
)
from porl_ros.policy.network import Actor
from porl_ros.policy.program import FrozenNetwork, Program, ProgramError
from porl_ros.policy.residual import ResidualActor
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.contract import contract_hash, first_difference
from porl_ros.robot.observation import ObservationAssembler, action_names

MANIFEST, WEIGHTS = "manifest.json", "weights.safetensors"
MAX_FILE_BYTES = 256 * 2**20  # a policy that is larger is a mistake or an attack
MAX_MANIFEST = 2**20


class BundleError(PorlError):
    """A bundle is missing, damaged, or not what it says it is."""


class Residual(BaseModel):
    """A bounded correction on top of the network that the manifest describes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    scale: FiniteFloat = Field(gt=0.0, le=2.0)
    hidden: tuple[Width, ...] = Field(max_length=8)


class Manifest(BaseModel):
    """What a bundle says of itself. `env_steps`, `gradient_steps`: this policy's training.
    `returns`: how often each robot had gone back to an earlier policy when this was made.
    `program`: what is corrected, where it is no network of ours."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format_version: Literal[1] = 1
    version: NonNegativeInt
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    contract_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    contract: dict
    parent: str | None = None
    observation_size: int = Field(gt=0, le=4096)
    action_size: int = Field(gt=0, le=256)
    hidden: tuple[Width, ...] = Field(max_length=8)
    residual: Residual | None = None
    program: Program | None = None
    exploration_std: FiniteFloat = Field(ge=0.0, le=2.0)
    saturation: dict[str, float] = {}
    returns: dict[str, NonNegativeInt] = {}
    env_steps: NonNegativeInt = 0
    gradient_steps: NonNegativeInt = 0
    made_by: str
    made_at: str
    packages: dict[str, str] = {}

    @field_validator("returns", mode="before")
    @classmethod
    def _none_yet(cls, returns: object) -> object:
        """Bundles that were made when there was one robot only say 0."""
        return {} if returns == 0 else returns

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.program and (self.residual is None or self.hidden):
            raise ValueError("program: stands under a residual, and has no hidden layers of ours")
        return self


class PolicyBundle:
    """A policy and its manifest, verified."""

    def __init__(self, manifest: Manifest, actor: Actor | ResidualActor, path: Path):
        self.manifest, self.actor, self.path = manifest, actor, path


def save_bundle(
    path: Path, actor: Actor | ResidualActor, contract: dict, *, made_by: str, **fields
) -> Manifest:
    """Write a bundle to `path`, which must not exist; `fields` are those of the manifest.

    Raises BundleError when there is something already, which is never overwritten, when the policy
    has diverged and could not be loaded again, or when it stands on a black box, which has no
    weights to write.
    """
    if not all(torch.isfinite(tensor).all() for tensor in actor.state_dict().values()):
        raise BundleError(f"{path}: not written: the policy holds values that are not finite")
    if path.exists():
        raise BundleError(
            f"{path} exists already and bundles are never overwritten; choose another path"
        )
    weights = pack_tensors(actor.state_dict())
    manifest = Manifest(
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        contract_hash=contract_hash(contract),
        contract=contract,
        observation_size=actor.observation_size,
        action_size=actor.action_size,
        **_architecture(actor, path),
        made_by=made_by,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        packages=_packages(),
        **fields,
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True)
    write_folder(path, {WEIGHTS: weights, MANIFEST: text.encode()})
    return manifest


def load_bundle(path: Path | str, config: RobotConfig | None = None) -> PolicyBundle:
    """Read and verify a bundle: schema, hash, shapes, finite values, and the contract if given.

    Raises BundleError, or ContractMismatch naming the field that differs.
    """
    path = Path(path)
    manifest = read_manifest(path)
    if config is not None and manifest.contract_hash != config.contract_hash:
        where = first_difference(config.contract, manifest.contract)
        raise ContractMismatch(
            f"{path}: this policy was made for another contract than robot config '{config.name}'; "
            f"the first difference is at {where}"
        )
    if config is not None:
        _check_sizes(manifest, config, path)
    actor = _build_actor(manifest, path)
    limit = min(MAX_FILE_BYTES, expected_size(actor.state_dict()))
    weights = read_file(path / WEIGHTS, limit, BundleError)
    if hashlib.sha256(weights).hexdigest() != manifest.weights_sha256:
        raise BundleError(
            f"{path / WEIGHTS}: does not match its hash in the manifest: damaged or exchanged"
        )
    _put_weights(actor, weights, path / WEIGHTS)
    return PolicyBundle(manifest, actor, path)


def _architecture(actor: Actor | ResidualActor, path: Path) -> dict:
    """The fields of the manifest from which the network can be built again."""
    if isinstance(actor, Actor):
        return {"hidden": actor.hidden}
    residual = Residual(scale=actor.scale, hidden=actor.hidden)
    if isinstance(actor.base, FrozenNetwork):
        return {"hidden": (), "residual": residual, "program": actor.base.program}
    if not isinstance(actor.base, Actor):
        raise BundleError(
            f"{path}: not written: it corrects a {type(actor.base).__name__}, whose weights are "
            "not known; import the policy with `porl policy import`"
        )
    return {"hidden": actor.base.hidden, "residual": residual}


def read_manifest(path: Path) -> Manifest:
    """What a bundle says of itself; its weights may be anything. Raises BundleError."""
    if not path.is_dir():
        raise BundleError(
            f"{path}: there is no policy bundle here (a folder with {MANIFEST} and {WEIGHTS}); "
            "`porl policy ls` finds those there are"
        )
    try:
        manifest = Manifest.model_validate_json(
            read_file(path / MANIFEST, MAX_MANIFEST, BundleError)
        )
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise BundleError(f"{path / MANIFEST}: {key}: {first['msg']}") from None
    if _hash_of(manifest.contract) != manifest.contract_hash:
        raise BundleError(
            f"{path / MANIFEST}: contract_hash does not match the contract: edited or damaged"
        )
    return manifest


def _hash_of(contract: dict) -> str:
    try:
        return contract_hash(contract)
    except ValueError:  # NaN, which no contract of ours holds
        return ""


def _check_sizes(manifest: Manifest, config: RobotConfig, path: Path) -> None:
    expected = ObservationAssembler(config).size, len(action_names(config))
    if (manifest.observation_size, manifest.action_size) != expected:
        raise BundleError(
            f"{path / MANIFEST}: observation_size, action_size = {manifest.observation_size}, "
            f"{manifest.action_size}; the contract has {expected[0]}, {expected[1]}"
        )


def _build_actor(manifest: Manifest, path: Path) -> Actor | ResidualActor:
    """Without weights: sizes that the manifest only claims take no memory."""
    sizes = manifest.observation_size, manifest.action_size
    with torch.device("meta"):
        try:
            program = manifest.program
            actor = FrozenNetwork(program, *sizes) if program else Actor(*sizes, manifest.hidden)
        except ProgramError as error:
            raise BundleError(f"{path / MANIFEST}: program: {error}") from None
        if manifest.residual:
            actor = ResidualActor(actor, manifest.residual.scale, manifest.residual.hidden)
    return actor


def _put_weights(actor: Actor | ResidualActor, weights: bytes, where: Path) -> None:
    try:
        tensors = unpack_tensors(weights)
        actor.load_state_dict(tensors, assign=True)
    except (ValueError, RuntimeError) as error:
        raise BundleError(f"{where}: does not fit the manifest: {error}") from None
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32:
            raise BundleError(f"{where}: {name} is {tensor.dtype}, must be torch.float32")
        if not torch.isfinite(tensor).all():
            raise BundleError(f"{where}: {name} holds values that are not finite")
        if name.split(".")[-1] == "std" and not (tensor > 0.0).all():
            raise BundleError(f"{where}: {name} holds values that are not above 0")


def _packages() -> dict[str, str]:
    found = {}
    for package in ("porl_ros", "torch", "mujoco", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed as a package"
    return found
