"""Each measurement in a process of its own: memory of its own, and nothing left from another."""

import gc
import multiprocessing
import resource
import shutil
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.replay import rows
from benchmarks.replay.contenders import CONTENDERS, Contender, Nothing

PERIOD = 0.001  # s
WARM_UP = 50  # rows


def in_child(measure: Callable[..., dict], *arguments: Any) -> dict | None:
    """What `measure(folder, *arguments)` returns; None if it needs what is not installed."""
    folder = Path(tempfile.mkdtemp(prefix="replay-benchmark-"))
    context = multiprocessing.get_context("spawn")
    try:
        with ProcessPoolExecutor(1, context, _one_thread) as pool:
            return pool.submit(attempt, measure, folder, *arguments).result()
    finally:
        shutil.rmtree(folder)


def _one_thread() -> None:
    """More of torch's threads get in each other's way on two cores."""
    import torch

    torch.set_num_threads(1)


def attempt(measure: Callable[..., dict], folder: Path, *arguments: Any) -> dict | None:
    """What `measure` returns; None if it needs what is not installed."""
    try:
        return measure(folder, *arguments)
    except ModuleNotFoundError:
        return None


def _contender(name: str, folder: Path, capacity: int) -> Contender:
    return CONTENDERS.get(name, Nothing)(folder, capacity)


def latency(folder: Path, name: str, seconds: float) -> dict:
    """Rows at 1 kHz, or as fast as the store takes them: how long each call takes, and the CPU."""
    store = _contender(name, folder, round(2 * seconds / PERIOD) + 100)
    spent = np.empty(round(seconds / PERIOD))
    for number in range(WARM_UP):
        store.add(number, rows.transition(number))
    count, begun, before = 0, time.perf_counter(), _cpu_seconds()
    while count < len(spent) and time.perf_counter() - begun < seconds:
        ahead = begun + count * PERIOD - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)
        row = rows.transition(WARM_UP + count)
        start = time.perf_counter()
        store.add(WARM_UP + count, row)
        spent[count] = time.perf_counter() - start
        count += 1
    elapsed, cpu = time.perf_counter() - begun, _cpu_seconds() - before
    store.close()
    p50, p99 = np.percentile(spent[:count], (50, 99))
    return {
        "p50_us": 1e6 * p50,
        "p99_us": 1e6 * p99,
        "max_us": 1e6 * spent[:count].max(),
        "rate": count / elapsed,
        "cpu_percent": 100 * cpu / elapsed,
    }


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def sustained(folder: Path, name: str, count: int, limit: float) -> dict:
    """Rows a second when they come as fast as the store takes them, for `limit` seconds at most."""
    store = _contender(name, folder, count)
    begun, number = time.perf_counter(), 0
    while number < count and time.perf_counter() - begun < limit:
        store.add(number, rows.transition(number))
        number += 1
    store.settle()
    elapsed = time.perf_counter() - begun
    store.close()
    on_disk = store.disk_bytes_per_row(number)
    return {"rows_per_s": number / elapsed, "disk_bytes_per_row": on_disk}


def sampling(folder: Path, name: str, count: int, batches: tuple[int, ...], seconds: float) -> dict:
    """Batches a second from `count` rows."""
    store = _contender(name, folder, count + count // 100)
    store.fill(count)
    store.open_sampler()
    gc.collect()
    rates = {f"batches_of_{batch}_per_s": _rate(store, batch, seconds) for batch in batches}
    store.close()
    return rates | {"memory_bytes_per_row": store.memory_bytes() / store.capacity}


def _rate(store: Contender, batch: int, seconds: float) -> float:
    store.sample(batch)
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        store.sample(batch)
        count += 1
    return count / (time.perf_counter() - begun)
