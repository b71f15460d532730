"""Result files: whole or not there, and never taken for what they are not."""

import dataclasses
import json

import pytest

from benchmarks.finetuning import results
from benchmarks.finetuning.methods import METHODS, ByPorl
from benchmarks.finetuning.results import Cell, Judging, State, code, digest, read, settings, write
from benchmarks.finetuning.tasks import TASKS

CELL = Cell("reach", "porl", 3)


@pytest.fixture
def written(reach, tmp_path):
    """A result of 1,000 steps, in the test's own folder; returns what `state` says of it."""
    write(CELL.path(tmp_path), CELL, results.STANDARD, 1000, {"stopped": False, "curve": [1, 2]})
    return lambda steps=1000, **more: results.state(CELL, steps, tmp_path, **more)


def test_what_was_written_is_read_again(written, tmp_path):
    content = read(CELL.path(tmp_path))
    assert (content["task"], content["method"], content["seed"]) == CELL
    assert content["curve"] == [1, 2]
    assert content["settings"] == json.loads(json.dumps(settings(CELL)))
    assert content["settings_hash"] == digest(settings(CELL))
    assert written() is State.DONE
    assert [path.name for path in (tmp_path / "reach").iterdir()] == ["porl-3.json"]


def test_a_write_that_fails_leaves_what_was_there(written, tmp_path):
    before = CELL.path(tmp_path).read_bytes()
    with pytest.raises(TypeError):
        write(CELL.path(tmp_path), CELL, results.STANDARD, 1000, {"curve": object()})
    assert CELL.path(tmp_path).read_bytes() == before


def test_what_is_not_there_is_missing(reach, tmp_path):
    assert results.state(CELL, 1, tmp_path) is State.MISSING


def test_more_steps_are_wanted_than_there_are(written, tmp_path):
    assert written(steps=1001) is State.SHORT
    assert written(steps=10) is State.DONE
    write(CELL.path(tmp_path), CELL, results.STANDARD, 1000, {"stopped": True})
    assert written(steps=1001) is State.DONE  # it had held: the rest of its curve is known


def test_another_setting_makes_a_result_stale(written, reach, monkeypatch):
    assert written(judging=Judging(episodes=5)) is State.STALE
    with monkeypatch.context() as patch:
        patch.setitem(METHODS, "porl", ByPorl("", "", {"utd": 5}))
        assert written() is State.STALE
    with monkeypatch.context() as patch:
        patch.setitem(TASKS, "reach", dataclasses.replace(reach, demonstrations=7))
        assert written() is State.STALE
    with monkeypatch.context() as patch:  # how it looks in pictures is no setting
        patch.setitem(METHODS, "porl", dataclasses.replace(METHODS["porl"], colour="#000000"))
        assert written() is State.DONE


def test_the_hash_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}) == digest({"b": {"d": 3, "c": 2}, "a": 1})
    assert digest({"a": 1}) != digest({"a": 2})


@pytest.mark.parametrize(
    ("source", "same"),
    [
        ('"""Other text."""\n\n\ndef f(x):\n    # why\n    return (x + 1)\n', True),
        ('"""Text."""\ndef f(x):\n    return x + 2\n', False),
    ],
)
def test_other_code_is_noticed_and_other_comments_are_not(
    written, tmp_path, monkeypatch, source, same
):
    (tmp_path / "learner").mkdir()
    file = tmp_path / "learner" / "module.py"
    monkeypatch.setattr(results, "ROOT", tmp_path)
    monkeypatch.setattr(results, "CODE", ("learner",))
    file.write_text('"""Text."""\n\ndef f(x):\n    """More."""\n    return x + 1\n')
    code.cache_clear()
    write(CELL.path(tmp_path), CELL, results.STANDARD, 1000, {"stopped": False})
    file.write_text(source)
    code.cache_clear()
    assert written() is (State.DONE if same else State.OTHER_CODE)
    code.cache_clear()


def test_the_sources_that_are_hashed_are_there():
    assert all((results.ROOT / entry).exists() for entry in results.CODE)
    for name in METHODS:
        json.dumps(METHODS[name].settings)
