"""The table is filled in order, what is there is left alone, and nothing outlives the runner."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from leftovers import processes_of

from benchmarks.finetuning import command
from benchmarks.finetuning.results import ROOT, STANDARD, Cell, read, write
from benchmarks.finetuning.runner import Interpreters, Runner, Wanted
from porl_ros.errors import PorlError

NO_PYTHON = Interpreters(main=Path("/nowhere/python"), metaworld=None)  # starting fails at once


def test_the_plan_is_breadth_first_and_favours_two_methods():
    wanted = command.plan(["a", "b"], ["porl", "rlpd", "residual"], None, None, "rlpd")
    assert [one.cell for one in wanted[:6]] == [
        Cell(task, method, 0) for method in ("porl", "rlpd", "residual") for task in ("a", "b")
    ]
    by_method = {m: {(c.seed, s) for c, s in wanted if c.method == m} for m in ("porl", "residual")}
    assert by_method["porl"] == {(seed, 30_000) for seed in range(5)}
    assert by_method["residual"] == {(seed, 15_000) for seed in range(3)}
    assert [one.cell.seed for one in wanted] == sorted(one.cell.seed for one in wanted)


def test_what_is_asked_for_is_what_is_planned():
    wanted = command.plan(["a"], ["porl"], [4, 1], 700, None)
    assert wanted == [Wanted(Cell("a", "porl", 1), 700), Wanted(Cell("a", "porl", 4), 700)]


def test_what_is_there_is_not_made_again(reach, tmp_path):
    cell = Cell("reach", "porl", 0)
    result = {"stopped": False, "wall_clock_s": 2.0, "env_steps": 300}
    write(cell.path(tmp_path), cell, STANDARD, 300, result)
    before = cell.path(tmp_path).stat()
    Runner(1, tmp_path, NO_PYTHON).run([Wanted(cell, 300)])
    assert cell.path(tmp_path).stat() == before
    with pytest.raises(FileNotFoundError, match="/nowhere/python"):  # a longer one is
        Runner(1, tmp_path, NO_PYTHON).run([Wanted(cell, 400)])


def test_leftovers_of_a_killed_run_are_cleared_away(reach, tmp_path):
    torn = tmp_path / "reach" / ".porl-0.json.4711"
    torn.parent.mkdir()
    torn.write_text('{"task": "rea')
    Runner(1, tmp_path, NO_PYTHON).run([])
    assert not torn.exists()


def test_a_task_whose_requirements_are_missing_is_left_out_with_the_remedy(reach, tmp_path, capsys):
    Runner(1, tmp_path, NO_PYTHON).run([Wanted(Cell("elsewhere", "porl", 0), 300)])
    said = " ".join(capsys.readouterr().out.split())
    assert "elsewhere porl 0: left out, needs Meta-World" in said
    assert "make metaworld" in said


def test_two_runners_do_not_share_a_folder(reach, tmp_path):
    folder = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    with pytest.raises(PorlError, match="another runner is at work there"):
        Runner(1, tmp_path, NO_PYTHON).run([])
    os.close(folder)
    Runner(1, tmp_path, NO_PYTHON).run([])


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_others_go_on(reach, tmp_path, capsys):
    # Children know no task of this test's, so both fail, each in a process of its own.
    runner = Runner(2, tmp_path / "results")
    cells = [Cell("reach", "porl", seed) for seed in (0, 1)]
    runner.run([Wanted(cell, 300) for cell in cells])
    assert sorted(runner.failed) == cells
    said = capsys.readouterr().out
    assert said.count("FAILED with code 1") == 2
    assert "KeyError: 'reach'" in said
    assert processes_of(tmp_path) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--tasks", "nothing"], "no task 'nothing': choose from"),
        (["--methods", "porl,magic"], "no method 'magic': choose from porl"),
        (["--rival", "magic"], "no method 'magic'"),
    ],
)
def test_unknown_names_are_refused_with_the_known_ones(monkeypatch, options, message):
    monkeypatch.setattr(sys, "argv", ["finetuning", *options])
    with pytest.raises(SystemExit, match=message):
        command.main()


def start(folder: Path, *options: str) -> subprocess.Popen:
    """The real command line in a folder of its own."""
    program = [sys.executable, "-m", "benchmarks", "finetuning", "--tasks", "ur5e_insert"]
    return subprocess.Popen(
        [*program, *options], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_runner_leaves_no_process_and_no_torn_file(tmp_path, how):
    runner = start(tmp_path, "--methods", "porl,naive_sac", "--seeds", "0", "--jobs", "2")
    wait_until(lambda: len(processes_of(tmp_path)) == 2)
    runner.send_signal(how)
    assert runner.wait(10) == -how
    wait_until(lambda: processes_of(tmp_path) == [])
    for path in tmp_path.glob("benchmarks/results/finetuning/*/*.json"):
        read(path)  # or raises


def wait_until(condition, timeout: float = 60.0) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "not within the time"
        time.sleep(0.05)
