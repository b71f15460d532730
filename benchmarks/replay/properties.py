"""What only our store has: how fresh a sample can be, what a crash costs, memory over time."""

import gc
import multiprocessing
import os
import time
from collections import deque
from pathlib import Path

import numpy as np

from benchmarks.replay import rows
from benchmarks.replay.measuring import PERIOD
from porl_ros.replay import (
    ImageStream,
    ReplayMemory,
    ReplayReader,
    ReplaySchema,
    ReplayWriter,
)
from porl_ros.replay.disk.journal import JournalWriter
from porl_ros.replay.disk.layout import RunFolder, create_store, make_folder
from porl_ros.replay.schema import Records, RunIdentity

POLL = 0.01  # s between two looks at the store
SEGMENT = 4096
FRAME_EVERY = 33  # rows


def staleness(folder: Path, seconds: float) -> dict:
    """From `log` in one process until a row can be sampled in another; p50, p99 and maximum."""
    store, ready = folder / "store", multiprocessing.get_context("spawn").Event()
    writer = multiprocessing.get_context("spawn").Process(
        target=_write_at_1_khz, args=(store, round(seconds / PERIOD), ready)
    )
    writer.start()
    ready.wait(60.0)
    waited: list[float] = []
    with ReplayReader(store) as reader:
        memory = ReplayMemory(rows.OBSERVATION, rows.ACTION, 1 << 20, discount=0.99, seed=0)
        logged: deque[int] = deque()
        while len(waited) < round(seconds / PERIOD) - 1:
            for chunk in reader.poll():
                memory.extend(chunk)
                logged.extend(chunk.rows["stamp"].tolist())
            now = time.monotonic_ns()
            while len(waited) < memory.size:
                waited.append((now - logged.popleft()) / 1e6)
            time.sleep(POLL)
    writer.join()
    p50, p99 = np.percentile(waited, (50, 99))
    return {"p50_ms": p50, "p99_ms": p99, "max_ms": max(waited)}


def _write_at_1_khz(store: Path, count: int, ready) -> None:
    with ReplayWriter(store, rows.SCHEMA, "arm") as writer:
        ready.set()
        begun = time.perf_counter()
        for number in range(count):
            time.sleep(max(0.0, begun + number * PERIOD - time.perf_counter()))
            writer.log(**rows.transition(number))


def camera(folder: Path, seconds: float) -> dict:
    """1 kHz of rows and 30 Hz of 640x480 JPEGs: how long `log` takes with and without a frame."""
    stream = ImageStream(name="camera", height=480, width=640, encoding="jpeg")
    schema = ReplaySchema(**rows.SCHEMA.model_dump(exclude={"format_version"}), images=(stream,))
    frame = np.random.default_rng(0).integers(0, 40, stream.shape, np.uint8)  # dark and noisy
    count = round(seconds / PERIOD)
    spent = np.empty(count)
    with ReplayWriter(folder / "store", schema, "arm") as writer:
        begun, cpu = time.perf_counter(), time.process_time()
        for number in range(count):
            time.sleep(max(0.0, begun + number * PERIOD - time.perf_counter()))
            row = rows.transition(number)
            images = {"camera": frame} if number % FRAME_EVERY == 0 else None
            start = time.perf_counter()
            writer.log(**row, images=images)
            spent[number] = time.perf_counter() - start
        cpu = (time.process_time() - cpu) / (time.perf_counter() - begun)
    with_frame = np.arange(count) % FRAME_EVERY == 0
    return {
        "p99_us": 1e6 * np.percentile(spent[~with_frame], 99),
        "frame_p99_us": 1e6 * np.percentile(spent[with_frame], 99),
        "cpu_percent": 100 * cpu,
    }


def long_run(folder: Path, count: int) -> dict:
    """Log `count` rows and crash: how the memory of the process grew from the first tenth on, and
    how long the next writer takes to begin, which seals what was left open."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    writer = context.Process(target=_write_and_crash, args=(folder / "store", count, there))
    writer.start()
    growth = here.recv()
    writer.join()
    return growth | {"rows": count, "recovery_s": _time_to_open(folder / "store")}


def _write_and_crash(store: Path, count: int, results) -> None:
    writer, marks = ReplayWriter(store, rows.SCHEMA, "arm"), []
    for number in range(count):
        while writer.rows - writer.acknowledged > SEGMENT:
            time.sleep(0.001)
        writer.log(**rows.transition(number))
        if number + 1 in (count // 10, count):
            writer.flush(60.0)
            gc.collect()
            marks.append((_resident_bytes(), len(gc.get_objects())))
    (bytes_before, objects_before), (bytes_after, objects_after) = marks
    results.send(
        {"grown_bytes": bytes_after - bytes_before, "grown_objects": objects_after - objects_before}
    )
    os._exit(1)  # nothing is sealed, nothing let go of


def _resident_bytes() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _time_to_open(store: Path) -> float:
    begun = time.perf_counter()
    writer = ReplayWriter(store, rows.SCHEMA, "arm")
    took = time.perf_counter() - begun
    writer.close()
    return took


def nothing_sealed(folder: Path, count: int) -> dict:
    """How long recovery takes if no journal of `count` rows was ever sealed: the worst there is."""
    store = folder / "store"
    create_store(store, rows.SCHEMA)
    identity = RunIdentity(rows.SCHEMA, "arm", "one")
    run = RunFolder(store, "arm", "one")
    make_folder(run.journal)
    make_folder(run.segments)
    block = np.zeros(SEGMENT, rows.SCHEMA.row_dtype)
    block["observation"] = np.random.default_rng(0).standard_normal((SEGMENT, rows.OBSERVATION))
    for first in range(0, count, SEGMENT):
        journal = JournalWriter(run.wal(first), identity, first, 0)
        journal.append(Records(first, 0, block, np.empty(0, rows.SCHEMA.final_dtype)))
        journal.close()
    return {"rows": count, "recovery_s": _time_to_open(store)}
