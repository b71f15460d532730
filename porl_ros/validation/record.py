"""The record of a validation: what was judged, how, with which result. Signed by the site's key.

It lies beside the bundle, as `BUNDLE.admission.json`, because a bundle is never changed. Whoever
lets a policy act reads it with `verify`. Needs neither MuJoCo nor torch.
"""

import hashlib
import hmac
import json
import os
import secrets
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, FiniteFloat, NonNegativeInt, ValidationError

from porl_ros.configfile import StrictModel
from porl_ros.errors import PorlError
from porl_ros.simulation.variant import Calibration
from porl_ros.validation.site_key import make_site_key, read_site_key

SUFFIX, REPORT_SUFFIX = ".admission.json", ".admission.html"
MAX_RECORD = 16 * 2**20  # bytes; a thousand episodes take half of one
Sha256 = Field(pattern=r"^[0-9a-f]{64}$")
Peak = FiniteFloat


class Measured(StrictModel):
    """One episode. `velocity`, `acceleration`: highest of what was sent, as a share of the joint's
    limit. `contact_force` [N]; `roughness`: see `measures`. `intervened`: steps in which the safety
    filter changed the command, `interventions` in how many for which reason."""

    seed: NonNegativeInt
    nominal: bool
    success: bool
    returned: FiniteFloat
    steps: NonNegativeInt
    intervened: NonNegativeInt
    interventions: dict[str, NonNegativeInt]
    velocity: Peak
    acceleration: Peak
    contact_force: Peak
    roughness: Peak


class Criterion(StrictModel):
    """One thing that was asked for. `holds` is None where it could not be shown either way, and
    `asked` is empty where it was only measured."""

    name: str
    asked: str
    found: FiniteFloat | None
    low: FiniteFloat | None = None
    high: FiniteFloat | None = None
    holds: bool | None


class Made(StrictModel):
    """What an admission is for: other hashes, no admission."""

    weights_sha256: str = Sha256
    manifest_sha256: str = Sha256
    contract_hash: str = Sha256
    suite_hash: str = Sha256
    scene_hash: str = Sha256
    rule_hash: str = Sha256
    code_hash: str = Sha256


class Record(StrictModel):
    """See the module. `purpose`: a `base` is admitted for fine-tuning by the safety bounds alone,
    its success becomes the reference; `reference` has the weights of the one compared with.
    `calibration`: how well the cell reproduces the robot's recordings, if it was estimated."""

    format_version: Literal[1] = 1
    bundle: str
    policy_version: NonNegativeInt
    robot: str
    scene: str
    cell: str
    made: Made
    purpose: Literal["policy", "base"]
    reference: str | None
    decision: Literal["admitted", "refused"]
    why: str
    criteria: tuple[Criterion, ...]
    chances: dict[str, FiniteFloat]
    episodes: tuple[Measured, ...]
    planned: NonNegativeInt
    rule: dict
    suite: dict
    variant: dict
    calibration: Calibration | None = None
    packages: dict[str, str]
    made_at: AwareDatetime
    made_by: str
    seconds: FiniteFloat

    @property
    def admitted(self) -> bool:
        return self.decision == "admitted"

    @property
    def success(self) -> float:
        """Share of successful episodes."""
        return sum(one.success for one in self.episodes) / max(1, len(self.episodes))


class RecordError(PorlError):
    """A record is missing, damaged, or not the one that was signed; `reason` is a fixed name."""

    def __init__(self, reason: str, text: str):
        super().__init__(text)
        self.reason = reason


def record_path(bundle: Path | str) -> Path:
    """Where the record of a bundle is."""
    return _beside(bundle, SUFFIX)


def report_path(bundle: Path | str) -> Path:
    """Where the report for people is."""
    return _beside(bundle, REPORT_SUFFIX)


def _beside(bundle: Path | str, suffix: str) -> Path:
    path = Path(bundle).resolve()  # of what a link leads to
    return path.with_name(path.name + suffix)


def write_record(bundle: Path | str, record: Record) -> Path:
    """Sign the record and put it beside the bundle, whole or not at all. Raises OSError."""
    path, key = record_path(bundle), make_site_key()
    write_file(path, _render(record.model_dump(mode="json"), key))
    return path


def write_file(path: Path, content: bytes) -> None:
    """Atomically and durably. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_record(bundle: Path | str) -> Record:
    """The record as it was signed. Raises RecordError: `missing`, `edited`, `other key`; and
    SiteKeyError."""
    path = record_path(bundle)
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            content = file.read(MAX_RECORD + 1)
    except OSError as error:
        raise RecordError(
            "missing", f"{path}: there is no record of a validation ({error.strerror}); make one "
            "with `porl validate`"
        ) from None  # fmt: skip
    key = read_site_key()
    try:
        said = json.loads(content)
        body, key_id = said["record"], said["key"]
        rendered = _render(body, key)
    except (ValueError, KeyError, TypeError, RecursionError):
        raise RecordError("edited", f"{path}: is damaged; validate again") from None
    if key_id != _key_id(key):
        raise RecordError(
            "other key", f"{path}: was signed with another site key; validate with this site's"
        )
    if not hmac.compare_digest(rendered, content):
        raise RecordError("edited", f"{path}: is not what was signed: edited or damaged")
    try:
        return Record.model_validate_json(json.dumps(body))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecordError("edited", f"{path}: {where}: {first['msg']}; validate again") from None


def _render(body: dict, key: bytes) -> bytes:
    """The file, to the byte: everything in it is under the signature."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), allow_nan=False)
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    whole = {"hmac": signature, "key": _key_id(key), "record": body}
    return (json.dumps(whole, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def _key_id(key: bytes) -> str:
    return hmac.new(key, b"which site key", hashlib.sha256).hexdigest()[:16]
