"""A large store: opened, read and sampled in a memory that is as small as was asked for.

`PORL_REPLAY_ROWS=10000000 pytest tests/replay/test_replay_scale.py -s` does it with ten million.
"""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from porl_ros.replay import ReplayMemory, ReplayReader, ReplaySchema
from porl_ros.replay.disk.layout import RunFolder, create_store, make_folder
from porl_ros.replay.disk.segment import write_segment
from porl_ros.replay.schema import Records, RunIdentity

ROWS = int(os.environ.get("PORL_REPLAY_ROWS", "200000"))
SEGMENT, EPISODE = 4096, 100  # rows
WIDE = ReplaySchema(
    contract_hash="wide",
    observation_names=tuple(f"o{i}" for i in range(45)),
    action_names=tuple(f"a{i}" for i in range(3)),
)
AT_ONCE = 16_384  # rows
MiB = 1 << 20


def make_records(first: int, count: int, finals: int) -> Records:
    """Rows whose observation says their number; each third episode succeeds."""
    numbers = np.arange(first, first + count)
    last, lucky = numbers % EPISODE == EPISODE - 1, numbers // EPISODE % 3 == 0
    rows, ends = np.zeros(count, WIDE.row_dtype), numbers[last]
    rows["observation"][:, 0], rows["observation"][:, 1:] = numbers % 4096, 0.5
    rows["observation"][:, 1] = numbers // 4096
    rows["episode"], rows["reward"] = numbers // EPISODE, last & lucky
    rows["terminated"], rows["truncated"] = last & lucky, last & ~lucky
    closed = np.zeros(len(ends), WIDE.final_dtype)
    closed["row"], closed["observation"] = ends, -1.0
    return Records(first, finals, rows, closed)


@pytest.fixture
def store(tmp_path) -> Path:
    """ROWS rows in two runs, written as a writer seals them."""
    path = tmp_path / "store"
    create_store(path, WIDE)
    for run in ("one", "two"):
        folder, identity = RunFolder(path, "arm", run), RunIdentity(WIDE, "arm", run)
        make_folder(folder.segments)
        make_folder(folder.journal)
        finals = 0
        for first in range(0, ROWS // 2, SEGMENT):
            records = make_records(first, min(SEGMENT, ROWS // 2 - first), finals)
            write_segment(folder, identity, records)
            finals = records.next_final
    return path


def private_memory() -> int:
    """Bytes of this process that are not pages of a file."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 1024


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_a_large_store_within_its_budget(store, tmp_path):
    capacity = ROWS + ROWS // 50
    before, start = private_memory(), time.perf_counter()
    memory = ReplayMemory(45, 3, capacity, 0.95, 0, budget=MiB, scratch=tmp_path)
    assert memory.mapped
    assert memory.nbytes > 30 * MiB
    with ReplayReader(store) as reader:
        opened = time.perf_counter() - start
        while chunks := reader.poll(AT_ONCE):
            for chunk in chunks:
                memory.extend(chunk)
        took = time.perf_counter() - start
        assert (reader.rows_read, reader.faults) == (ROWS, [])
    grown = private_memory() - before
    check_batches(memory)
    assert memory.size == ROWS
    assert grown < 32 * MiB + ROWS // 50  # what is on its way, and what a reader knows of segments
    print(f"{ROWS} rows: opened in {opened:.3f} s, read and fed in {took:.1f} s")
    print(f"{memory.nbytes / MiB:.0f} MiB mapped, {grown / MiB:.0f} MiB more of this process's own")


def check_batches(memory: ReplayMemory) -> None:
    for size in (256, 4096):
        times = []
        for _ in range(20):
            start = time.perf_counter()
            batch = memory.sample(size, success_share=0.5)
            times.append(time.perf_counter() - start)
        numbers = batch.observation[:, 0] + 4096 * batch.observation[:, 1]
        following = batch.next_observation[:, 0] + 4096 * batch.next_observation[:, 1]
        ended = numbers.astype(int) % EPISODE == EPISODE - 1
        assert np.array_equal(following[~ended], numbers[~ended] + 1)
        assert (batch.next_observation[ended] == -1.0).all()
        print(f"batch of {size}: {np.median(times) * 1e6:.0f} us")


@pytest.mark.slow
def test_only_the_newest_part_of_a_large_store_is_read(store):
    with ReplayReader(store, newest=10_000) as reader:
        rows = sum(len(chunk.rows) for chunk in reader.poll())
        assert 10_000 <= rows < 10_000 + SEGMENT
        assert reader.skipped == ROWS - rows
