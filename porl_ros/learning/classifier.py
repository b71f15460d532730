"""A learned judge of success: how likely an observation is one in which the task is done.

On disk a folder with `weights.safetensors` and `manifest.json`, immutable and verified before use,
as policies are. No pickle.
"""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

import numpy as np
import torch
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    NonNegativeInt,
    ValidationError,
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
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.contract import first_difference
from porl_ros.robot.observation import ObservationAssembler

MANIFEST, WEIGHTS = "manifest.json", "weights.safetensors"
MAX_MANIFEST, MAX_WEIGHTS = 2**20, 2**26  # bytes; larger is a mistake or an attack


class ClassifierError(PorlError):
    """A classifier is missing, damaged, not what it says it is, or cannot be made of the data."""


class Bin(BaseModel):
    """Observations that were given about the same probability of success."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    predicted: FiniteFloat  # mean probability
    observed: FiniteFloat  # share that was a success
    count: NonNegativeInt


class Quality(BaseModel):
    """How good a classifier is on episodes that it was neither trained nor calibrated on."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    episodes: NonNegativeInt
    threshold: FiniteFloat
    true_positives: NonNegativeInt
    false_positives: NonNegativeInt
    false_negatives: NonNegativeInt
    true_negatives: NonNegativeInt
    brier: FiniteFloat  # mean squared error of the probability
    calibration_error: FiniteFloat  # expected: mean over the bins, weighted with their counts
    bins: tuple[Bin, ...]


class Manifest(BaseModel):
    """What a classifier says of itself. Probability: 1 / (1 + exp(-slope * output - offset))."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    format_version: Literal[1] = 1
    kind: Literal["success classifier"] = "success classifier"
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    contract_hash: str = Field(pattern=r"^[0-9a-f]{64}$")
    contract: dict
    observation_size: int = Field(gt=0, le=4096)
    hidden: tuple[Width, ...] = Field(max_length=8)
    slope: FiniteFloat = Field(gt=0.0)
    offset: FiniteFloat
    held_out: Quality
    made_by: str
    made_at: str

    @model_validator(mode="after")
    def _small(self) -> Self:
        if any(width > 4096 for width in self.hidden):
            raise ValueError("hidden: wider than any classifier of ours")
        return self


class Classifier:
    """A network with one output, and what makes a probability of it. Any one thread at a time."""

    def __init__(self, network: Actor, slope: float, offset: float):
        self.network, self.slope, self.offset = network, slope, offset
        self._infer = network.for_control()

    def probability(self, observation: np.ndarray) -> float:
        """Of success, for one observation (k,) float32; no torch, for the control path."""
        return float(probability(self._infer(observation)[0], self.slope, self.offset))


def probability(output: np.ndarray, slope: float, offset: float) -> np.ndarray:
    """Platt's scaling of a network's output; any shape."""
    return 1.0 / (1.0 + np.exp(-np.clip(slope * output + offset, -500.0, 500.0)))


def save_classifier(
    path: Path, classifier: Classifier, config: RobotConfig, held_out: Quality, made_by: str
) -> Manifest:
    """Write it to `path`, which must not exist; ClassifierError."""
    if path.exists():
        raise ClassifierError(f"{path} exists already and is never overwritten; name another path")
    weights = pack_tensors(classifier.network.state_dict())
    manifest = Manifest(
        weights_sha256=hashlib.sha256(weights).hexdigest(),
        contract_hash=config.contract_hash,
        contract=config.contract,
        observation_size=classifier.network.observation_size,
        hidden=classifier.network.hidden,
        slope=classifier.slope,
        offset=classifier.offset,
        held_out=held_out,
        made_by=made_by,
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    text = json.dumps(manifest.model_dump(mode="json"), indent=1, sort_keys=True)
    try:
        write_folder(path, {WEIGHTS: weights, MANIFEST: text.encode()})
    except OSError as error:
        raise ClassifierError(f"{path}: cannot be written: {error.strerror}") from None
    return manifest


def read_manifest(path: Path) -> Manifest:
    """What the classifier in this folder says of itself; ClassifierError."""
    if not path.is_dir():
        raise ClassifierError(
            f"{path}: there is no classifier here (a folder with {MANIFEST} and {WEIGHTS}); make "
            "one with `porl classifier train`"
        )
    content = read_file(path / MANIFEST, MAX_MANIFEST, ClassifierError)
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise ClassifierError(f"{path / MANIFEST}: {key}: {first['msg']}") from None


def load_classifier(path: Path, config: RobotConfig) -> Classifier:
    """Read and verify: schema, contract, hash, shapes, finite values.

    Raises ClassifierError, or ContractMismatch naming the field that differs.
    """
    manifest = read_manifest(path)
    if manifest.contract_hash != config.contract_hash:
        where = first_difference(config.contract, manifest.contract)
        raise ContractMismatch(
            f"{path}: this classifier was made for another contract than robot config "
            f"'{config.name}'; the first difference is at {where or 'contract_hash'}"
        )
    if manifest.observation_size != ObservationAssembler(config).size:
        raise ClassifierError(
            f"{path / MANIFEST}: observation_size = {manifest.observation_size}; the contract has "
            f"{ObservationAssembler(config).size}"
        )
    with torch.device("meta"):  # sizes that the manifest only claims take no memory
        network = Actor(manifest.observation_size, 1, manifest.hidden)
    _fill(network, manifest, path / WEIGHTS)
    return Classifier(network, manifest.slope, manifest.offset)


def _fill(network: Actor, manifest: Manifest, where: Path) -> None:
    limit = min(MAX_WEIGHTS, expected_size(network.state_dict()))
    content = read_file(where, limit, ClassifierError)
    if hashlib.sha256(content).hexdigest() != manifest.weights_sha256:
        raise ClassifierError(f"{where}: does not match its hash: damaged or exchanged")
    try:
        tensors = unpack_tensors(content)
        network.load_state_dict(tensors, assign=True)
    except (ValueError, RuntimeError) as error:
        raise ClassifierError(f"{where}: does not fit the manifest: {error}") from None
    for name, tensor in tensors.items():
        if tensor.dtype != torch.float32 or not torch.isfinite(tensor).all():
            raise ClassifierError(f"{where}: {name}: must hold finite numbers of float32")
        if name == "std" and not (tensor > 0.0).all():
            raise ClassifierError(f"{where}: {name} holds values that are not above 0")
