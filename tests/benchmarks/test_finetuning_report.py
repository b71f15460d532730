"""The report on result files that are made up here, in folders of the test's own."""

import json

import numpy as np
import pytest

from benchmarks.finetuning import statistics
from benchmarks.finetuning.methods import METHODS, VARIANTS
from benchmarks.finetuning.results import STANDARD, Cell, State, write

pytest.importorskip("rliable", reason="needs benchmarks/requirements.txt")
from benchmarks.finetuning.report import Report  # noqa: E402
from benchmarks.finetuning.table import load, overall, row  # noqa: E402

RISE = [0, 5000, 10_000, 15_000]


def made_up(
    success: list[float],
    dip: float = -0.05,
    steps: int = 15_000,
    env_steps: list[int] = RISE,
    **more,
) -> dict:
    """A result as a run writes it, of evaluations every 5,000 steps."""
    env_steps = env_steps[: len(success)]
    curve = {"env_steps": env_steps, "success": success}
    curve |= {"gradient_steps": [4 * s for s in env_steps], "wall_clock_s": [0.0] * len(success)}
    return {
        "steps": steps, "stopped": env_steps[-1] < steps, "env_steps": env_steps[-1], "base": 0.3,
        "final": success[-1], "gradient_steps": 4 * env_steps[-1], "learning_s": 120.0,
        "wall_clock_s": 150.0, "curve": curve,
        "dip": {"env_step": 5000, "success": 0.3 + dip, "change": dip, "standard_error": 0.03},
    } | more  # fmt: skip


@pytest.fixture(autouse=True)
def few_repetitions(monkeypatch):
    """The bootstrap is rliable's, and slow; what is made of it can be seen on few."""
    monkeypatch.setattr(statistics, "REPETITIONS", 100)


@pytest.fixture
def put(reach, tmp_path):
    """Write a made-up result of the reach task."""

    def write_one(method: str, seed: int, result: dict, task: str = "reach") -> None:
        cell = Cell(task, method, seed)
        write(cell.path(tmp_path), cell, STANDARD, result.pop("steps"), result)

    return write_one


def test_the_figures_of_a_row():
    rows = [made_up([0.2, 0.4, 0.6, 0.8]), made_up([0.4, 0.6, 0.95, 1.0], dip=-0.25)]
    figures = row(rows)
    assert figures.base == pytest.approx(0.3)
    assert figures.dip == pytest.approx(-0.15)
    assert figures.worst_dip == -0.25
    assert (figures.reached, figures.steps_to_reach) == (1, 10_000)
    assert figures.success.value == pytest.approx(0.9)
    # (0.3 + 0.5 + 0.7) / 3 and (0.5 + 0.775 + 0.975) / 3
    assert figures.area.value == pytest.approx((0.5 + 0.75) / 2)
    assert figures.area.low == pytest.approx(0.5)
    assert figures.area.high == pytest.approx(0.75)
    assert figures.long_area is None
    assert figures.minutes == 2.0


def test_a_stopped_run_counts_to_the_longest_budget():
    stopped = made_up([0.2, 1.0, 1.0], steps=50_000)
    assert row([stopped]).success.value == 1.0
    assert row([stopped]).long_area.value == pytest.approx((0.6 * 5 + 45) / 50)
    assert np.isnan(row([stopped]).area.low)  # of one run there is no interval


def test_over_all_tasks_only_what_every_method_has_is_compared():
    good, bad = [made_up([0.9] * 4) for _ in range(3)], [made_up([0.1] * 4) for _ in range(3)]
    runs = {
        "a": {"porl": good, "rlpd": bad},
        "b": {"porl": [made_up([0.5] * 4), *good], "rlpd": bad},
        "c": {"porl": bad},
    }
    tasks, figures = overall(runs)
    assert tasks == ["a", "b"]
    # Three seeds of each: 0.9 x 3 and 0.5, 0.9, 0.9, without the lowest and the highest one
    assert figures["porl"].area.value == pytest.approx(0.9)
    assert figures["rlpd"].area == pytest.approx((0.1, 0.1, 0.1))
    assert figures["porl"].better is None
    assert figures["rlpd"].better.value == 1.0


def test_nothing_is_compared_that_not_all_have():
    assert overall({"a": {"porl": [made_up([0.5] * 4)]}, "b": {"rlpd": [made_up([0.5] * 4)]}}) == (
        [],
        {},
    )


def test_what_is_left_out_is_told(put, tmp_path, monkeypatch):
    put("porl", 0, made_up([0.2, 0.4, 0.6, 0.8]))
    put("rlpd", 0, made_up([0.2, 0.4], steps=5000))
    put("residual", 0, made_up([0.2, 0.4, 0.6, 0.8]))
    monkeypatch.setitem(METHODS, "residual", METHODS["porl_no_anchor"])
    runs, notes = load(tmp_path)
    assert list(runs["reach"]) == ["porl"]
    assert notes[Cell("reach", "rlpd", 0)] is State.SHORT
    assert notes[Cell("reach", "residual", 0)] is State.STALE
    assert notes[Cell("reach", "naive_sac", 0)] is State.MISSING
    assert Cell("reach", "porl", 0) not in notes


def test_the_report_is_written(put, tmp_path):
    for seed in range(3):
        put("porl", seed, made_up([0.3, 0.6, 1.0, 1.0 - 0.01 * seed]))
        put("naive_sac", seed, made_up([0.3, 0.0, 0.0, 0.5], dip=-0.3))
        put("rlpd", seed, made_up([0.0, 0.6, 1.0, 1.0]))
    files = Report.of(tmp_path).write(tmp_path / "docs", tmp_path / "figures")
    assert all(path.stat().st_size > 500 for path in files)
    assert {path.name for path in files} == {
        "finetuning_results.md", "finetuning.json", "finetuning-reach.png", "finetuning-all.png"
    }  # fmt: skip
    page = files[0].read_text()
    assert (
        "PORL ends at or above 0.9, or at least 0.4 above its base, on 1 of 1 tasks (reach)" in page
    )
    assert "deepest mean dip is -0.05 (reach); below -0.1 on 0 of 1 tasks." in page
    assert (
        "naive SAC from the base: larger area on 1 of 1 tasks, with intervals apart on 1." in page
    )
    assert "with intervals apart on 1; by task: reach +0.05." in page
    assert "Against SAC from scratch (stable-baselines3): not run yet." in page
    assert "| bounded residual on the frozen base | not run yet |" in page
    assert "## ur5e_lift\n\nNot run yet.\n" in page
    figures = json.loads(files[1].read_text(), parse_constant=lambda text: pytest.fail(text))
    assert figures["tasks"]["reach"]["naive_sac"]["dip"] == pytest.approx(-0.3)
    assert figures["overall"]["tasks"] == ["reach"]
    assert figures["left_out"]["reach residual 0"] == "not run yet"


def test_the_page_without_any_run_says_so(reach, tmp_path):
    page = Report.of(tmp_path).markdown()
    assert "There is no task yet on which every method has run." in page
    assert page.count("Not run yet.") >= 3


def test_a_setting_is_compared_on_the_same_seeds(put, tmp_path):
    for seed in range(3):
        put("porl", seed, made_up([0.3, 0.6, 0.9, 0.9], dip=0.01 * seed))
    for seed in range(2):
        put("two_critics", seed, made_up([0.3, 0.3, 0.6, 0.6], dip=-0.1 * seed))
    files = Report.of(tmp_path).write(tmp_path / "docs", tmp_path / "figures")
    page = files[0].read_text()
    assert "| `critics = 2` | 0.45 (-0.25); 0.20 (0.30), 2 seeds |" in page
    assert "n_step" not in page  # was not run
    assert VARIANTS["two_critics"].settings == METHODS["porl"].settings | {"critics": 2}


def test_a_variant_differs_from_the_defaults_in_what_it_says():
    for variant in VARIANTS.values():
        assert variant.settings != METHODS["porl"].settings, variant.label
