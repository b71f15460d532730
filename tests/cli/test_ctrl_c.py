"""Ctrl-C in the middle of whatever takes longer than a moment: it ends with 130 and a word, leaves
no process, and what it was about to write is whole or not there."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from demonstrated import demonstrate
from interrupting import Interrupting
from judged_episodes import record as record_judged

from porl_ros.replay.tools.check import check_root, check_run
from porl_ros.replay.tools.runs import runs_of

BAR = "rich.progress:Progress.advance"
BAR_TOO = "rich.progress:Progress.update"
STEP = "porl_ros.simulation.env:RobotEnv.step"


class Interrupted(NamedTuple):
    """Ctrl-C comes with this call of a function; `leaves`: all that may lie there afterwards."""

    arguments: str
    at: str
    calls: int = 1
    leaves: tuple[str, ...] = ()


INTERRUPTED = {
    "demos": Interrupted("--store new", STEP, 100, ("new",)),
    "bc": Interrupted("--demos {demos} --output new", BAR_TOO, 3),
    "evaluate": Interrupted("{base}", "porl_ros.validation.evaluation:Evaluator.evaluate_all"),
    "calibrate": Interrupted("{demos} --output new", BAR, 3),
    "check": Interrupted("ur5e_insert --no-live", STEP, 50),
    "rollout": Interrupted(
        "{base} --no-gate --output kept",
        "porl_ros.replay.reading.reader:ReplayReader.poll", 2, ("kept",),
    ),
    "rehearse": Interrupted(
        "--short --output kept", "porl_ros.validation.evaluation:Evaluator.each", 1, ("kept",)
    ),
    "finetune": Interrupted(
        "--env ur5e_insert --base {base} --output new --no-presample",
        "porl_ros.learning.porl:Porl.update_critics", 5,
    ),
    "replay info": Interrupted("{demos} --plot new", BAR),
    "replay verify": Interrupted("{demos}", BAR),
    "replay repair": Interrupted("{demos}", "porl_ros.cli.replay_verify:repair_run"),
    "replay compact": Interrupted("{demos} new", BAR),
    "replay merge": Interrupted("{demos} new", "porl_ros.replay.tools.copy:_prove"),
    "replay export": Interrupted("{demos} --npz new", BAR),
    "replay import": Interrupted(
        "{bag} --store new --actor expert",
        "porl_ros.replay.writing.writer:ReplayWriter.log", 30, ("new",),
    ),
    "policy import": Interrupted("{weights} --output new", "porl_ros.policy.bundle:pack_tensors"),
    "classifier train": Interrupted("--store {judged} --output new --steps 300", BAR, 20),
}  # fmt: skip


@pytest.fixture(scope="module")
def interrupting() -> Iterator[Interrupting]:
    with Interrupting() as interrupting:
        yield interrupting


@pytest.fixture(scope="module")
def given(tmp_path_factory, config, demonstrations, base) -> dict[str, Path]:
    """What the commands are given."""
    import torch
    from torch import nn

    folder = tmp_path_factory.mktemp("given")
    record_judged(config, folder / "judged", successes=10, failures=10)
    demonstrate(folder / "bag", config, "calibrated", 2)
    layers = nn.Sequential(nn.Linear(15, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.save(layers.state_dict(), folder / "weights")
    return {"demos": demonstrations, "base": base} | {p.name: p for p in folder.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize("name", INTERRUPTED)
def test_it_ends_in_order(interrupting, given, tmp_path, name):
    one = INTERRUPTED[name]
    before = {path: snapshot(path) for path in given.values()}
    arguments = [*name.split(), *one.arguments.format(**given).split()]
    ended = interrupting(tmp_path, one.at, one.calls, *arguments)
    assert ended.code == 130, ended.said
    assert "interrupted" in ended.said
    assert "Traceback" not in ended.said
    assert not ended.left
    assert {path.name for path in tmp_path.iterdir()} - {"output"} <= {*one.leaves}
    assert {path: snapshot(path) for path in given.values()} == before
    if (tmp_path / "new").exists():
        assert faults_in(tmp_path / "new") == []


def faults_in(store: Path) -> list[str]:
    """What is wrong with a store of demonstrations; one that is half of a recording, too."""
    schema, faults = check_root(store)
    for folder, identity in runs_of(store, schema):
        assert not identity.run.startswith("import")
        faults += check_run(folder, identity).faults
    return faults


def snapshot(path: Path) -> set[tuple[str, int]]:
    return {(str(p), p.stat().st_mtime_ns) for p in [path, *path.rglob("*")] if p.is_file()}


def test_while_it_imports_it_ends_without_a_word(tmp_path):
    press = "import os, signal; os.kill(os.getpid(), signal.SIGINT)\n"
    (tmp_path / "typer.py").write_text(press)  # as good as any other that is imported
    done = subprocess.run(
        [sys.executable, "-m", "porl_ros.cli", "version"], capture_output=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, sys.path)])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
