"""When to evaluate and to stop, and what a curve comes to: by hand."""

import numpy as np
import pytest

from benchmarks.finetuning.curves import area, at, evaluation_steps, first_at, has_held, lowest


def test_evaluations_are_dense_where_updates_begin():
    steps = evaluation_steps(6000, 2000)
    assert steps[:4] == [0, 1000, 2000, 2250]
    assert np.diff(steps).tolist() == [1000, 1000, *[250] * 8, 1000, 1000]


def test_evaluations_begin_at_0_and_end_at_the_end():
    assert evaluation_steps(2100, 2000) == [0, 1000, 2000, 2100]
    assert evaluation_steps(300, 100) == [0, 100, 300]
    assert evaluation_steps(500, 2000) == [0, 500]


@pytest.mark.parametrize(
    ("steps", "success", "held"),
    [
        ([0, 5000], [0.96, 0.95], True),
        ([0, 4999], [1.0, 1.0], False),
        ([0, 1000, 6000], [0.2, 1.0, 1.0], True),
        ([0, 1000, 3000, 7000], [1.0, 1.0, 0.94, 1.0], False),  # 0.94 begins the count anew
        ([0, 6000], [1.0, 0.9], False),
        ([], [], False),
    ],
)
def test_a_run_is_stopped_when_it_never_fell_under_0_95_for_5000_steps(steps, success, held):
    assert has_held(steps, success) is held


def test_an_area_is_the_mean_success_over_the_budget():
    # 0.2 for 1000 steps, then rising to 1.0 within 1000: (200 + 600) / 2000
    curve = [0, 1000, 2000], [0.2, 0.2, 1.0]
    assert area(*curve, 2000) == pytest.approx(0.4)
    assert area(*curve, 1000) == pytest.approx(0.2)
    assert area(*curve, 1500) == pytest.approx((200 + 500 * 0.4) / 1500)  # ends between two points


def test_a_stopped_curve_stays_at_its_last_value():
    curve = [0, 1000], [0.0, 1.0]
    assert area(*curve, 4000) == pytest.approx((500 + 3000) / 4000)
    assert at(*curve, np.array([500, 9000])).tolist() == [0.5, 1.0]


def test_the_first_evaluation_at_the_level_counts():
    curve = [0, 1000, 2000, 3000], [0.2, 0.89, 0.9, 0.5]
    assert first_at(*curve) == 2000
    assert first_at(*curve, level=0.95) is None


def test_the_lowest_point_is_looked_for_after_updates_begin():
    curve = [0, 1000, 1250, 1500, 1750], [0.0, 0.1, 0.6, 0.3, 0.3]
    assert lowest(*curve, after=1000) == 3
    assert lowest(*curve, after=1750) is None
