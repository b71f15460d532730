"""A policy beside the one that it was compared with, in the same episodes."""

import numpy as np

from porl_ros.validation.record import Measured, Record
from porl_ros.validation.report.page import Table

MEASURES = {
    "steps": "steps", "contact_force": "contact force [N]", "velocity": "velocity / limit",
    "acceleration": "acceleration / limit", "roughness": "roughness",
    "intervened": "commands changed",
}  # fmt: skip


def compared(record: Record, reference: Record) -> dict | None:
    """What `reference`, another record of the same suite, came to in the episodes of `record`;
    None where they have no episode in common."""
    theirs = {one.seed: one for one in reference.episodes}
    pairs = [(one, theirs[one.seed]) for one in record.episodes if one.seed in theirs]
    if not pairs:
        return None
    return {
        "said": f"{reference.bundle}, version {reference.policy_version}, in the same "
        f"{len(pairs)} episodes.",
        "outcomes": _outcomes(pairs),
        "means": Table(
            ("mean of the episodes", "this policy", "reference"),
            [_means(pairs, *measure) for measure in MEASURES.items()],
        ),
    }


def _outcomes(pairs: list[tuple[Measured, Measured]]) -> Table:
    def count(ours: bool, theirs: bool) -> str:
        return str(sum((a.success, b.success) == (ours, theirs) for a, b in pairs))

    rows = [
        ("this policy succeeds", count(True, True), count(True, False)),
        ("this policy fails", count(False, True), count(False, False)),
    ]
    return Table(("episodes", "the reference succeeds", "the reference fails"), rows)


def _means(pairs: list[tuple[Measured, Measured]], name: str, label: str) -> tuple[str, str, str]:
    ours, theirs = np.mean([[getattr(one, name) for one in pair] for pair in pairs], axis=0)
    return label, f"{ours:.3g}", f"{theirs:.3g}"
