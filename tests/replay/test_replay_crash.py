"""kill -9 at any moment: what was acknowledged is there, what is there is right."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from replay_rows import SCHEMA, check_rows, log_rows

from porl_ros.replay import ReplayReader, ReplayWriter, read_store

KILLS = int(os.environ.get("PORL_REPLAY_KILLS", "8"))
CHILD = Path(__file__).with_name("crash_child.py")
ROOT = CHILD.parents[2]


def record_and_kill(store: Path, rows: int, reader: ReplayReader) -> tuple[int, list]:
    """Kill a writer after so many acknowledged rows; what it had acknowledged, what was read."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(CHILD.parent)])}
    child = subprocess.Popen(
        [sys.executable, str(CHILD), str(store)], stdout=subprocess.PIPE, env=environment
    )
    acknowledged, chunks = 0, []
    for line in child.stdout:
        acknowledged = int(line)
        if acknowledged >= rows:
            break
        if acknowledged % 20 == 0:
            chunks += reader.poll()
    child.kill()
    lines = child.stdout.read().split(b"\n")[:-1]  # what follows the last newline was cut
    child.wait()
    child.stdout.close()
    return int(lines[-1]) if lines else acknowledged, chunks


@pytest.mark.parametrize("kill", range(KILLS))
def test_a_killed_writer_loses_nothing_acknowledged(store, kill):
    ReplayWriter(store, SCHEMA, "arm", "first").close()
    reader = ReplayReader(store)
    rows = int(np.random.default_rng(kill).integers(1, 500))
    acknowledged, chunks = record_and_kill(store, rows, reader)
    assert acknowledged >= rows
    before = check_rows(read_store(store), cut=True)
    assert before >= acknowledged
    start = time.monotonic()
    with ReplayWriter(store, SCHEMA, "arm") as writer:
        assert time.monotonic() - start < 5.0
        log_rows(writer, 10)
    after = read_store(store)
    assert check_rows(after, cut=True) == before + 10
    assert not list(store.glob("writers/*/*/journal/*"))
    assert not list(store.glob("writers/*/*/segments/.*"))
    crashed = next(c.run for c in after if c.run not in (f"arm/{writer.run}", "arm/first"))
    last = [chunk for chunk in after if chunk.run == crashed and len(chunk.rows)][-1].rows[-1]
    assert last["truncated"] or last["terminated"]
    # One who followed across crash and recovery has seen every row once, too
    chunks += reader.poll()
    assert check_rows(chunks, cut=True) == before + 10
    assert reader.faults == []
