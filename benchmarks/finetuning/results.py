"""One JSON file per run: written whole or not at all, and known by the settings it was made by."""

import ast
import hashlib
import json
import os
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import NamedTuple

from benchmarks.finetuning.methods import find
from benchmarks.finetuning.tasks import TASKS
from benchmarks.machine import RESULTS, machine

FOLDER = RESULTS / "finetuning"
ROOT = Path(__file__).resolve().parents[2]
# What the numbers come from. Where a setting did not change but this did, a run is still used, and
# said to be made by other code.
CODE = (
    "porl_ros/learning", "porl_ros/policy/network.py", "porl_ros/policy/residual.py",
    "porl_ros/replay/memory",
    *(f"benchmarks/finetuning/{part}.py" for part in ("loop", "porl_agent", "sac", "rivals")),
)  # fmt: skip


class Cell(NamedTuple):
    """One run of the table."""

    task: str
    method: str
    seed: int

    def path(self, folder: Path = FOLDER) -> Path:
        return folder / self.task / f"{self.method}-{self.seed}.json"

    def __str__(self) -> str:
        return f"{self.task} {self.method} {self.seed}"


class Judging(NamedTuple):
    """How many episodes a policy is judged by."""

    episodes: int = 50  # of a point on the curve: the same for all points and methods
    fresh: int = 200  # others, on which base, lowest and final are compared


STANDARD = Judging()


class State(StrEnum):
    """What there is of a run."""

    DONE = "done"
    OTHER_CODE = "done, by other code"
    SHORT = "shorter than wanted"
    STALE = "other settings"
    MISSING = "not run yet"


def settings(cell: Cell, judging: Judging = STANDARD) -> dict:
    """All that the result depends on besides the code, the seed and the length."""
    made_of = {"task": TASKS[cell.task].settings, "method": find(cell.method).settings}
    return made_of | {"judging": judging._asdict()}


def digest(content: dict) -> str:
    """A short hash that does not depend on the order of keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def write(path: Path, cell: Cell, judging: Judging, steps: int, result: dict) -> None:
    """Put the file in place in one step; nobody ever reads half of it."""
    used = settings(cell, judging)
    head = {**cell._asdict(), "steps": steps, "settings_hash": digest(used), "settings": used}
    content = {**head, "code": code(), "machine": machine(), **result}
    lines = (f"{json.dumps(key)}: {json.dumps(value)}" for key, value in content.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "w") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read(path: Path) -> dict | None:
    """The content of a result file; None where there is none."""
    return json.loads(path.read_text()) if path.is_file() else None


def state(cell: Cell, steps: int, folder: Path = FOLDER, judging: Judging = STANDARD) -> State:
    """Whether the run is there, long enough, and made as it would be made now.

    A run that was stopped because it had held is as long as any.
    """
    found = read(cell.path(folder))
    if found is None:
        return State.MISSING
    if found["settings_hash"] != digest(settings(cell, judging)):
        return State.STALE
    if found["steps"] < steps and not found["stopped"]:
        return State.SHORT
    return State.DONE if found["code"] == code() else State.OTHER_CODE


@cache
def code() -> str:
    """A hash of the learners' sources without comments, docstrings and layout."""
    total = hashlib.sha256()
    for entry in CODE:
        path = ROOT / entry
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            total.update(_meaning(file.read_text()).encode())
    return total.hexdigest()[:16]


def _meaning(source: str) -> str:
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and _is_text(body[0]):
            body[:] = body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
