"""Comparing contracts: by hash, and by the first field that differs."""

import hashlib
import json


def contract_hash(contract: dict) -> str:
    """SHA-256 of a contract as canonical JSON (sorted keys, no spaces)."""
    text = json.dumps(contract, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def first_difference(ours: object, theirs: object, path: str = "") -> str:
    """Where two contracts differ first, as `key: here X, there Y`; empty when they do not."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = sorted({*ours, *theirs})
        pairs = [
            (f"{path}.{k}".lstrip("."), ours.get(k, ABSENT), theirs.get(k, ABSENT)) for k in keys
        ]
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = [(f"{path}[{i}]", a, b) for i, (a, b) in enumerate(zip(ours, theirs, strict=True))]
    else:
        return "" if ours == theirs else f"{path}: here {ours!r}, there {theirs!r}"
    return next((text for key, a, b in pairs if (text := first_difference(a, b, key))), "")


class _Absent:
    """A key that one side does not have; `None` is a value and something else."""

    def __repr__(self) -> str:
        return "no such key"


ABSENT = _Absent()
