"""What the audit log says of trials: which policy acted last, and how often one went back.

A robot is known by its replay store and its name there. The log is the only memory of a policy node
for this: rows of the store do not tell two policies that take turns from one that was given up.
"""

from pathlib import Path
from typing import NamedTuple

from porl_ros.policy.bundle import PolicyBundle
from porl_ros.policy.canary import Trial
from porl_ros.validation import audit

BEGUN, WENT_BACK = "canary begun", "went back"  # the others are the names of verdicts


class Left(NamedTuple):
    """How a robot was left. `base`, `candidate`: SHA-256 of weights, of what the node was
    configured with, and of what was on trial or decided upon."""

    event: str
    base: str
    candidate: str
    acts: Path
    returns: int


class TrialLog:
    """The entries of one robot. Reading and writing block on the disk; both raise AuditError."""

    def __init__(self, robot: str, store: Path, base: PolicyBundle):
        self._where = {"robot": robot, "store": str(store.absolute())}
        self._where["base"] = base.manifest.weights_sha256

    def write(
        self, event: str, policy: PolicyBundle, acts: PolicyBundle, returns: int,
        why: str = "", trial: Trial | None = None,
    ) -> None:  # fmt: skip
        """`policy` is what the event is about, `acts` what acts from then on where no trial is on.
        `returns`: how often an earlier policy was let act again, this time included."""
        facts = self._where | {"bundle": str(policy.path), "version": policy.manifest.version}
        facts |= {"weights_sha256": policy.manifest.weights_sha256}
        facts |= {"acts": str(acts.path), "acting_version": acts.manifest.version}
        facts |= {"acting_sha256": acts.manifest.weights_sha256, "returns": returns}
        if why:
            facts["why"] = why
        if trial:
            facts |= {name: _tally(outcomes) for name, outcomes in trial.named_outcomes.items()}
            facts["better_by"] = [round(bound, 4) for bound in trial.bounds]
        audit.append(event, **facts)

    def left(self) -> Left | None:
        """How this robot was left; None where nothing was ever on trial."""
        if not audit.audit_path().exists():
            return None
        robot = self._where["robot"], self._where["store"]
        entries = [e for e in audit.read() if (e.get("robot"), e.get("store")) == robot]
        entries = [e for e in entries if "acts" in e]
        return _left(entries[-1]) if entries else None


def _left(entry: dict) -> Left:
    try:
        return Left(
            str(entry["event"]), str(entry["base"]), str(entry["weights_sha256"]),
            Path(entry["acts"]), int(entry["returns"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError):
        raise audit.AuditError(
            f"{audit.audit_path()}: the last entry of {entry.get('store')} is not one of a trial; "
            "name another log or another store"
        ) from None


def _tally(outcomes: list[bool]) -> dict[str, int]:
    return {"episodes": len(outcomes), "successes": sum(outcomes)}
