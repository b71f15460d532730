"""Rows that are known to be lost: `lost.json` in the folder of a run.

A run whose segment is gone has a gap for ever. Once a repair has told of it, the gap is on record,
and a check that is clean otherwise is clean again.
"""

import json
from typing import NamedTuple

from porl_ros.replay.disk.layout import RunFolder, replace_file

LOST = "lost.json"
LARGEST_LOST = 1 << 20  # bytes


class Span(NamedTuple):
    """Consecutive row numbers of a run, both ends included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"rows {self.first} to {self.last}"


def read_losses(folder: RunFolder) -> list[Span]:
    """What is on record as lost; nothing if the record cannot be understood."""
    try:
        with open(folder.path / LOST, "rb") as file:
            spans = [Span(*span) for span in json.loads(file.read(LARGEST_LOST))["rows"]]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return []
    whole = all(type(number) is int for span in spans for number in span)
    return spans if whole else []


def record_losses(folder: RunFolder, spans: list[Span]) -> None:
    """Put all of a run's gaps on record, in place of what was there. Raises OSError."""
    replace_file(folder.path / LOST, json.dumps({"rows": spans}))
