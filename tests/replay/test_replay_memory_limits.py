"""What a memory takes, where it lies, and what it does not take in."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from replay_rows import make_chunk

from porl_ros.replay import ReplayMemory
from porl_ros.replay.errors import MemoryBudgetError

SLOT = 4 * (3 + 2) + 17  # bytes

CHILD = """
import resource, sys
from porl_ros.replay import ReplayMemory
limit = int(sys.argv[2])
if limit:  # the system refuses files above this size, as a full disk would
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
memory = ReplayMemory(3, 2, 500_000, 0.9, 0, budget=1000, scratch=sys.argv[1])
print(memory.mapped, flush=True)
sys.stdin.read()
"""


def start(scratch: Path, limit: int = 0) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(scratch), str(limit)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def test_a_memory_says_what_it_takes():
    memory = ReplayMemory(3, 2, 1000, 0.9, 0)
    assert memory.nbytes == 1000 * SLOT
    assert not memory.mapped


def test_beyond_the_budget_batches_are_the_same(tmp_path):
    inside = ReplayMemory(3, 2, 300, 0.9, 0, n_step=3)
    mapped = ReplayMemory(3, 2, 300, 0.9, 0, n_step=3, budget=300 * SLOT - 1, scratch=tmp_path)
    assert mapped.mapped
    assert mapped.nbytes == inside.nbytes
    for first in range(0, 1000, 50):
        for memory in (inside, mapped):
            memory.extend(make_chunk(first, 50))
        ours, theirs = inside.sample(32, 0.5), mapped.sample(32, 0.5)
        assert all(map(np.array_equal, ours, theirs, [True] * len(ours)))
    assert os.listdir(tmp_path) == []


def test_beyond_the_budget_a_folder_is_needed(tmp_path):
    with pytest.raises(MemoryBudgetError, match=r"^budget: .*37000 bytes.*scratch"):
        ReplayMemory(3, 2, 1000, 0.9, 0, budget=36_999)
    with pytest.raises(MemoryBudgetError, match="^scratch: .*No such file"):
        ReplayMemory(3, 2, 1000, 0.9, 0, budget=0, scratch=tmp_path / "missing")
    with pytest.raises(ValueError, match="^capacity:"):
        ReplayMemory(3, 2, 2**31, 0.9, 0)


def test_more_than_the_disk_has_is_refused_at_once(tmp_path):
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    width = math.ceil(free / 2**31 / 4) + 1
    with pytest.raises(MemoryBudgetError, match="^scratch: .*No space left"):
        ReplayMemory(width, 2, 2**31 - 1, 0.9, 0, scratch=tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_refuses_says_so_at_construction(tmp_path):
    child = start(tmp_path, limit=1_000_000)
    _, errors = child.communicate(timeout=60)
    assert child.returncode == 1
    assert "MemoryBudgetError: scratch:" in errors
    assert "File too large" in errors


def test_kill_leaves_nothing_behind(tmp_path):
    child = start(tmp_path)
    try:
        assert child.stdout.readline() == "True\n"
        assert os.listdir(tmp_path) == []
        maps = Path(f"/proc/{child.pid}/maps").read_text()
        assert any(str(tmp_path) in line and "(deleted)" in line for line in maps.splitlines())
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=60)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("field", ["observation", "action", "reward"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_rows_that_are_not_finite_are_left_out(field, value, caplog):
    memory, chunk = ReplayMemory(3, 2, 1000, 0.9, 0), make_chunk(0, 50)
    chunk.rows[field].reshape(50, -1)[[10, 11, 30], -1] = value
    memory.extend(chunk)
    memory.extend(make_chunk(50, 13))
    assert memory.refused == {field: 3}
    assert caplog.text.count(f"{field} is not finite in 3 places") == 1
    batch = memory.sample(3000)
    assert all(np.isfinite(array).all() for array in batch[:-1])
    # What leads to a row left out cannot be sampled either: it is not known what followed
    assert set(batch.observation[:, 0].astype(int)) == set(range(63)) - {9, 10, 11, 29, 30}


def test_a_final_that_is_not_finite_is_left_out(caplog):
    memory, chunk = ReplayMemory(3, 2, 1000, 0.9, 0), make_chunk(0, 21)
    chunk.finals["observation"][1, 2] = math.nan
    assert [episode.number for episode in memory.extend(chunk)] == [0, 2]
    assert memory.refused == {"final_observation": 1}
    assert "final_observation is not finite" in caplog.text
    batch = memory.sample(1000)
    assert set(batch.observation[:, 0].astype(int)) == set(range(21)) - {13}
    assert np.isfinite(batch.next_observation).all()


def test_nothing_but_bad_rows_leaves_a_memory_empty():
    memory, chunk = ReplayMemory(3, 2, 1000, 0.9, 0), make_chunk(0, 20)
    chunk.rows["observation"] = math.nan
    assert memory.extend(chunk) == []
    assert (memory.size, memory.refused) == (0, {"observation": 20})
    with pytest.raises(ValueError, match="without a transition"):
        memory.sample(4)


def test_flags_are_0_or_1_whatever_the_store_says():
    memory, chunk = ReplayMemory(3, 2, 1000, 0.9, 0), make_chunk(0, 7)
    chunk.rows["terminated"][6] = 200
    memory.extend(chunk)
    assert set(memory.sample(100).terminated) == {0.0, 1.0}
