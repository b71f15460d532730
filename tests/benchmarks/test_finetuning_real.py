"""Two methods on the real insertion task, each in a process of its own, from nothing."""

import pytest

from benchmarks.finetuning.results import Cell, Judging, State, read, state
from benchmarks.finetuning.runner import Runner, Wanted

FEW = Judging(episodes=4, fresh=6)


@pytest.mark.slow
def test_a_real_run_is_made_once(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    cells = [Cell("ur5e_insert", method, 0) for method in ("porl_no_warmup", "naive_sac")]
    runner = Runner(2, tmp_path, judging=FEW)
    runner.run([Wanted(cell, 150) for cell in cells])
    assert runner.failed == []
    assert capsys.readouterr().out.count("at step 150") == 2
    for cell in cells:
        assert state(cell, 150, tmp_path, FEW) is State.DONE
        result = read(cell.path(tmp_path))
        assert result["curve"]["env_steps"][-1] == 150
        assert result["gradient_steps"] == 4 * (150 - result["updates_begin"])
        assert result["base"] > 0
    bases = {read(cell.path(tmp_path))["base"] for cell in cells}
    assert len(bases) == 1  # the same policy on the same episodes
    Runner(2, tmp_path, judging=FEW).run([Wanted(cell, 150) for cell in cells])
    assert capsys.readouterr().out == ""
