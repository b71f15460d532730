"""Whether a bundle may act on this robot: what its record says, held against what is here."""

import hashlib
import os
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from porl_ros.errors import PorlError
from porl_ros.robot.config import RobotConfig
from porl_ros.validation.fingerprint import code_hash, scene_hash, suite_hash
from porl_ros.validation.record import Made, Record, RecordError, read_record
from porl_ros.validation.site_key import SiteKeyError

MANIFEST, WEIGHTS = "manifest.json", "weights.safetensors"
LARGEST = 256 * 2**20  # bytes of a file of a bundle
AHEAD = timedelta(days=1)  # by which the clock of the machine that validated may be ahead
DIFFERS = {
    "weights_sha256": ("other weights", "its weights are not those that were judged"),
    "manifest_sha256": ("other manifest", "its manifest is not the one that was judged"),
    "contract_hash": ("other contract", "it was judged for another contract than this robot's"),
    "suite_hash": ("other suite", "it was judged on another suite of episodes than the one here"),
    "scene_hash": ("other scene", "it was judged in another scene or cell than the one here"),
    "rule_hash": ("other rule", "it was judged by another rule than the robot config's"),
    "code_hash": ("other code", "it was judged by another version of porl_ros"),
}


class NotAdmitted(PorlError):
    """A policy that must not act; `reason` is a fixed name."""

    def __init__(self, reason: str, text: str):
        super().__init__(text)
        self.reason = reason


class Admission(NamedTuple):
    """A policy that may act. `manifest` is the file that was judged, to be held against what was
    loaded."""

    record: Record
    manifest: bytes


def describe(bundle: Path, config: RobotConfig) -> Made:
    """The hashes of what is here now. Raises NotAdmitted, ConfigError."""
    return Made(
        weights_sha256=hashlib.sha256(_read(bundle / WEIGHTS)).hexdigest(),
        manifest_sha256=hashlib.sha256(_read(bundle / MANIFEST)).hexdigest(),
        contract_hash=config.contract_hash,
        suite_hash=suite_hash(config),
        scene_hash=scene_hash(config),
        rule_hash=config.gate.rule.hash,
        code_hash=code_hash(),
    )


def verify(
    bundle: Path | str,
    config: RobotConfig,
    candidate: bool = False,
    now: datetime | None = None,
) -> Admission:
    """The admission of a bundle. Raises NotAdmitted naming the reason, ConfigError.

    `candidate`: it is offered by a learner, so to be admitted as a base is not enough.
    """
    bundle = Path(bundle)
    try:
        record = read_record(bundle)
    except (RecordError, SiteKeyError) as error:
        reason = getattr(error, "reason", "no site key")
        raise NotAdmitted(reason, f"{bundle}: not admitted: {error}") from None
    manifest = _read(bundle / MANIFEST)
    _compare(bundle, record.made, describe(bundle, config))
    if hashlib.sha256(manifest).hexdigest() != record.made.manifest_sha256:
        raise _refusal(bundle, *DIFFERS["manifest_sha256"])
    if not record.admitted:
        raise _refusal(bundle, "refused", f"it was judged and refused: {record.why}")
    if candidate and record.purpose == "base":
        text = "it was admitted as a base only, by the safety bounds alone"
        raise _refusal(bundle, "base only", text)
    _check_age(bundle, record, config.gate.rule.valid_days, now or datetime.now(UTC))
    return Admission(record, manifest)


def _compare(bundle: Path, judged: Made, here: Made) -> None:
    for name, (reason, text) in DIFFERS.items():
        if getattr(judged, name) != getattr(here, name):
            raise _refusal(bundle, reason, text)


def _check_age(bundle: Path, record: Record, days: float | None, now: datetime) -> None:
    if record.made_at > now + AHEAD:
        text = f"it was judged in the future, {record.made_at}; put the clocks right"
        raise _refusal(bundle, "from the future", text)
    if days is not None and now - record.made_at > timedelta(days=days):
        text = f"its admission of {record.made_at:%Y-%m-%d} is older than valid_days = {days:g}"
        raise _refusal(bundle, "expired", text)


def _refusal(bundle: Path, reason: str, text: str) -> NotAdmitted:
    return NotAdmitted(reason, f"{bundle}: not admitted: {text}; run `porl validate` on it here")


def _read(path: Path) -> bytes:
    """A regular file of bounded size: what is on disk is untrusted."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST:
                raise NotAdmitted("no bundle", f"{path}: is no file of a policy bundle")
            return file.read()
    except OSError as error:
        text = f"{path}: not admitted: cannot be read: {error.strerror}; name a policy bundle"
        raise NotAdmitted("no bundle", text) from None
