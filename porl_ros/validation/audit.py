"""The audit log: what was let onto a robot, when and by whom. Lines are only ever appended.

A file of JSON lines, `$PORL_AUDIT_LOG`, else `~/.local/state/porl_ros/audit.jsonl`. Each line holds
the SHA-256 of the one before, so that a line that was changed or taken out shows. Who may write the
file can still write it anew: keep a copy elsewhere if that matters.
"""

import fcntl
import getpass
import hashlib
import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from porl_ros.errors import PorlError

VARIABLE = "PORL_AUDIT_LOG"
LAST = 2**16  # bytes at the end of the file in which its last line is looked for
NOTHING = "0" * 64  # before the first line


class AuditError(PorlError):
    """The log cannot be written, or is not what was written."""


def audit_path() -> Path:
    """Where the log is."""
    named = os.environ.get(VARIABLE)
    return Path(named) if named else Path.home() / ".local" / "state" / "porl_ros" / "audit.jsonl"


def append(event: str, **facts: object) -> None:
    """Add a line, durably; several processes may. Raises AuditError."""
    path = audit_path()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        with open(os.open(path, flags, 0o644), "rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(_line(event, facts, _last(file)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise AuditError(
            f"{path}: the audit log cannot be written: {error.strerror}; make room or name another "
            f"with {VARIABLE}"
        ) from None


def read(path: Path | None = None) -> list[dict]:
    """All lines. Raises AuditError naming the first that is not as it was written."""
    path = path or audit_path()
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except OSError as error:
        raise AuditError(f"{path}: cannot be read: {error.strerror}") from None
    found, before = [], NOTHING
    for number, line in enumerate(lines, 1):
        try:
            entry = json.loads(line)
            sound = entry["before"] == before
        except (ValueError, KeyError, TypeError, RecursionError):
            sound = False
        if not sound:
            raise AuditError(
                f"{path}: line {number} or the one before it was changed or is damaged"
            )
        found.append(entry)
        before = hashlib.sha256(line).hexdigest()
    return found


def _line(event: str, facts: dict, last: bytes) -> bytes:
    entry = {
        "at": datetime.now(UTC).isoformat(),
        "by": f"{getpass.getuser()}@{socket.gethostname()}",
    }
    entry |= {"event": event, **facts}
    entry["before"] = hashlib.sha256(last).hexdigest() if last else NOTHING
    return (json.dumps(entry, allow_nan=False) + "\n").encode()


def _last(file) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LAST))
    return (file.read().splitlines(keepends=True) or [b""])[-1]
