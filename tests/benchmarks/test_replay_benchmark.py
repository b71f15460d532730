"""The replay benchmark measures what it says, and says what is not installed."""

import sys

import pytest

from benchmarks.replay import report
from benchmarks.replay.contenders import CONTENDERS, PorlStore
from benchmarks.replay.measuring import attempt, in_child, latency, sampling, sustained
from benchmarks.replay.properties import long_run


def test_our_store_is_measured(tmp_path):
    measured = attempt(latency, tmp_path, PorlStore.name, 0.3)
    assert measured["rate"] > 100
    assert 0 < measured["p50_us"] <= measured["p99_us"] <= measured["max_us"]
    assert measured["cpu_percent"] > 0


def test_what_is_not_installed_is_left_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)  # as if it were not there
    name = "h5py, flush every row"
    assert attempt(latency, tmp_path, name, 0.1) is None
    results = {kind: {name: []} for kind in ("latency", "sustained", "sampling")}
    table = report._compared(results, report.WRITING)
    assert table.rows == [[name] + ["not installed"] * len(report.WRITING)]
    assert table.markdown().endswith("| not installed |")


@pytest.mark.slow
def test_every_store_that_is_installed_is_measured(tmp_path):
    for number, name in enumerate(CONTENDERS):
        for kind in ("written", "sampled"):
            (tmp_path / f"{kind}{number}").mkdir()
        written = attempt(sustained, tmp_path / f"written{number}", name, 300, 2.0)
        sampled = attempt(sampling, tmp_path / f"sampled{number}", name, 300, (16,), 0.1)
        assert (written is None) == (sampled is None)
        if written:
            assert written["rows_per_s"] > 1
            assert sampled["batches_of_16_per_s"] > 1


@pytest.mark.slow
def test_a_crash_is_recovered_from():
    measured = in_child(long_run, 5000)
    assert measured["rows"] == 5000
    assert 0 < measured["recovery_s"] < 30
