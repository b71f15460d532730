"""Which policy a robot begins with: a link to an admitted bundle, and the way back.

`robot.launch.py bundle:=PLACE` follows the link. Every change of it stands in the audit log, from
which the way back is read, too.
"""

import os
from pathlib import Path

from porl_ros.errors import PorlError
from porl_ros.robot.config import RobotConfig
from porl_ros.validation import audit
from porl_ros.validation.admission import verify

DEPLOYED, ROLLED_BACK = "deployed", "rolled back"


def deploy(place: Path, bundle: Path, robot: RobotConfig) -> None:
    """Let `place` lead to this bundle. Raises NotAdmitted, AuditError, PorlError."""
    _require_link(place)
    _point(place, bundle.resolve(), robot, DEPLOYED)


def rollback(place: Path, robot: RobotConfig) -> Path:
    """Let `place` lead to what was deployed before; returns that. Raises NotAdmitted when that may
    not act any more, AuditError, PorlError when there is nothing before."""
    earlier = before(place)
    _point(place, earlier, robot, ROLLED_BACK)
    return earlier


def before(place: Path) -> Path:
    """What `rollback` would lead to. Raises AuditError, PorlError when there is nothing."""
    _require_link(place)
    earlier = history(place)[:-1]
    if not earlier:
        raise PorlError(
            f"{place}: nothing was deployed here before what is now, says {audit.audit_path()}; "
            "deploy another bundle with `porl deploy`"
        )
    return earlier[-1]


def history(place: Path) -> list[Path]:
    """Bundles that were deployed one after the other, less those that were rolled back; the last is
    the present one. Raises AuditError."""
    found, where = [], str(place.absolute())
    entries = audit.read() if audit.audit_path().exists() else []
    for entry in entries:
        if entry.get("place") == where and entry["event"] == DEPLOYED:
            found.append(Path(entry["bundle"]))
        elif entry.get("place") == where and entry["event"] == ROLLED_BACK:
            found.pop()
    return found


def _point(place: Path, bundle: Path, robot: RobotConfig, event: str) -> None:
    """The log first: what is not written down does not happen."""
    record = verify(bundle, robot).record
    audit.append(
        event,
        place=str(place.absolute()),
        bundle=str(bundle),
        robot=robot.name,
        version=record.policy_version,
        weights_sha256=record.made.weights_sha256,
        admitted_at=record.made_at.isoformat(),
    )
    temporary = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(bundle)
    os.replace(temporary, place)


def _require_link(place: Path) -> None:
    if place.exists() and not place.is_symlink():
        raise PorlError(f"{place}: is there already and no link to a bundle; name another place")
