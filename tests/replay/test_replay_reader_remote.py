"""Copies behind URLs: a web server, an object store, and whatever else fsspec opens."""

import functools
import http.server
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest
from replay_rows import check_rows
from tool_stores import flip, record, run_of, segment

from porl_ros.replay import ReplayMemory, ReplayReader, Retention, read_store
from porl_ros.replay.disk.retention import Pruner, drop_segment
from porl_ros.replay.errors import (
    ContractMismatch,
    NewerFormat,
    RemoteNotInstalled,
    StoreFormatError,
    StoreMissing,
    StoreUnreachable,
)
from porl_ros.replay.reading.remote import RemoteStore
from porl_ros.replay.tools.copy import copy_stores


@pytest.fixture(scope="module")
def recorded(tmp_path_factory) -> Path:
    """Two runs of 75 rows, in segments of 30."""
    store = record(tmp_path_factory.mktemp("recorded") / "store")
    return record(store, run="two", robot="left")


@pytest.fixture
def copy(recorded, tmp_path) -> Path:
    """A copy of it, that may be damaged."""
    return Path(shutil.copytree(recorded, tmp_path / "copy"))


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


class WebServer(http.server.ThreadingHTTPServer):
    """Lists and serves a folder until it is shut down."""

    request_queue_size = 128  # all files of a segment at once; the default is 5

    def __init__(self, folder: Path, port: int = 0):
        super().__init__(("127.0.0.1", port), functools.partial(Quiet, directory=str(folder)))
        self._thread = threading.Thread(target=self.serve_forever)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self._thread.join()
        super().__exit__(*error)


@pytest.fixture(scope="module")
def web(recorded) -> str:
    """The URL of a web server that serves the folder in which the store is."""
    with WebServer(recorded.parent) as server:
        yield server.url


@pytest.fixture(scope="module")
def in_memory(recorded) -> str:
    files = fsspec.filesystem("memory")
    files.put(str(recorded), "/porl-ros-test", recursive=True)
    yield "memory://porl-ros-test"
    files.rm("/porl-ros-test", recursive=True)


def same(ours, theirs) -> bool:
    pairs = zip(ours, theirs, strict=True)
    return all(
        a[:2] == b[:2] and np.array_equal(a.rows, b.rows) and np.array_equal(a.finals, b.finals)
        for a, b in pairs
    )


@pytest.mark.parametrize("place", ["file", "memory", "web"])
def test_a_copy_gives_the_same_chunks(recorded, in_memory, web, place):
    urls = {"file": f"file://{recorded}", "memory": in_memory, "web": f"{web}/store"}
    with ReplayReader(urls[place], "c0ffee") as reader:
        chunks = reader.poll()
        assert reader.poll() == []
        assert reader.runs() == ["arm/one", "left/two"]
        assert (reader.rows_read, reader.faults, reader.dropped) == (150, [], 0)
    assert check_rows(chunks, cut=True) == 150
    assert same(chunks, read_store(recorded))


def test_a_compact_copy_is_read_too(recorded, tmp_path):
    copy_stores([recorded], tmp_path / "compact")
    chunks = read_store(f"file://{tmp_path / 'compact'}")
    assert check_rows(chunks, cut=True) == 150


def test_places_in_a_copy_are_those_of_a_store(recorded, in_memory):
    with ReplayReader(in_memory, newest=80) as reader:
        assert sum(len(chunk.rows) for chunk in reader.poll()) == 150 - reader.skipped
        assert 30 <= reader.skipped <= 70
    with ReplayReader(in_memory) as reader:
        first = reader.poll(40)
        with ReplayReader(recorded, cursor=reader.cursor()) as local:
            assert check_rows(first + local.poll(), cut=True) == 150


def test_a_memory_is_fed_from_a_copy(recorded, in_memory):
    ours, theirs = (ReplayMemory(3, 2, 500, 0.9, 0) for _ in range(2))
    for memory, place in ((ours, recorded), (theirs, in_memory)):
        for chunk in read_store(place):
            memory.extend(chunk)
    assert np.array_equal(ours.sample(32).observation, theirs.sample(32).observation)


class Clock:
    """Time stands still until it is told."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_segment_that_is_still_uploaded_is_waited_for(copy, tmp_path):
    clock, part = Clock(), segment(copy, 30) / "reward" / "c.0"
    part.rename(tmp_path / "later")
    reader = ReplayReader(RemoteStore(f"file://{copy}", 10.0, 60.0, clock))
    assert sum(len(chunk.rows) for chunk in reader.poll()) == 30 + 75
    (fault,) = reader.faults
    assert "waiting for a copy that is whole" in fault
    assert "000000000030" in fault
    assert f"file://{copy}" in fault
    clock.now += 59.0
    assert reader.poll() == []
    (tmp_path / "later").rename(part)
    assert sum(len(chunk.rows) for chunk in reader.poll()) == 45
    assert reader.faults == []


def test_one_that_stays_damaged_is_given_up(copy):
    clock = Clock()
    flip(segment(copy, 30) / "observation" / "c.0.0")
    reader = ReplayReader(RemoteStore(f"file://{copy}", 10.0, 60.0, clock))
    chunks = reader.poll()
    assert len(reader.faults) == 1
    clock.now += 61.0
    chunks += reader.poll()
    assert check_rows(chunks, cut=True) == 120
    corrupt, lost = reader.faults
    assert "cannot be read" in corrupt
    assert lost == "rows 30 to 59 of arm/one are lost"


def test_new_segments_are_looked_for_now_and_then(copy, tmp_path):
    clock = Clock()
    late = shutil.move(segment(copy, 60), tmp_path / "late")
    new = shutil.move(copy / "writers" / "left", tmp_path / "left")
    reader = ReplayReader(RemoteStore(f"file://{copy}", 10.0, 60.0, clock))
    assert sum(len(chunk.rows) for chunk in reader.poll()) == 60
    shutil.move(late, segment(copy, 60))
    shutil.move(new, copy / "writers" / "left")
    clock.now += 9.0
    assert reader.poll() == []
    clock.now += 1.0
    assert sum(len(chunk.rows) for chunk in reader.poll()) == 15 + 75


def test_rows_that_a_retention_dropped_are_no_fault(copy):
    oldest = Pruner(copy, "arm", Retention(max_bytes=1)).plan()[0]
    assert drop_segment(run_of(copy)[0], oldest)
    with ReplayReader(f"file://{copy}") as reader:
        assert check_rows(reader.poll(), cut=True) == 120
        assert (reader.dropped, reader.faults) == (30, [])


def test_another_contract_a_newer_format_and_no_store_are_said(recorded, copy, in_memory, web):
    with pytest.raises(ContractMismatch, match="memory://"):
        ReplayReader(in_memory, "beef")
    for url in (f"{in_memory}/writers", f"{web}/nothing", f"file://{copy}-not"):
        with pytest.raises(StoreMissing, match=f"no replay store at {url}"):
            ReplayReader(url)
    root = copy / "zarr.json"
    root.write_text(root.read_text().replace('"format_version": 1', '"format_version": 99'))
    with pytest.raises(NewerFormat):
        ReplayReader(f"file://{copy}")
    root.write_text("{")
    with pytest.raises(StoreFormatError, match="zarr.json does not describe"):
        ReplayReader(f"file://{copy}")
    with pytest.raises(StoreMissing, match="foo://bar cannot be opened"):
        ReplayReader("foo://bar")


@pytest.mark.slow
def test_a_server_that_is_gone_can_come_back(recorded):
    with WebServer(recorded) as server:
        reader = ReplayReader(RemoteStore(server.url, list_every=0.0))
        chunks = reader.poll(40)
    for _ in range(2):
        with pytest.raises(StoreUnreachable, match="check the network"):
            reader.poll(40)
    with WebServer(recorded, server.server_address[1]):
        while found := reader.poll(40):
            chunks += found
    assert reader.faults == []
    assert check_rows(chunks, cut=True) == 150


def test_what_is_not_installed_is_named(tmp_path):
    """In a Python of its own, that has the standard fsspec and neither s3fs nor obstore."""
    code = (
        "import sys; sys.modules['obstore'] = sys.modules['s3fs'] = None\n"
        "from porl_ros.replay import ReplayReader\n"
        "ReplayReader('s3://robots/store')"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert RemoteNotInstalled.__name__ in run.stderr
    assert "porl_ros[remote]" in run.stderr


@pytest.mark.slow
def test_an_object_store(recorded, monkeypatch):
    """Against a real S3 interface, where moto (a development tool, not required) is installed."""
    moto = pytest.importorskip("moto.server")
    boto3 = pytest.importorskip("boto3")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        url = f"http://127.0.0.1:{server.get_host_and_port()[1]}"
        settings = {"ENDPOINT": url, "ACCESS_KEY_ID": "a", "SECRET_ACCESS_KEY": "b"}
        settings |= {"ALLOW_HTTP": "true", "REGION": "us-east-1"}
        for name, value in settings.items():
            monkeypatch.setenv(f"AWS_{name}", value)
        bucket = boto3.resource("s3", endpoint_url=url, region_name="us-east-1").Bucket("robots")
        bucket.create()
        for path in filter(Path.is_file, recorded.rglob("*")):
            bucket.upload_file(str(path), f"store/{path.relative_to(recorded)}")
        assert same(read_store("s3://robots/store", "c0ffee"), read_store(recorded))
        with pytest.raises(StoreMissing):
            ReplayReader("s3://robots/other")
    finally:
        server.stop()
    with pytest.raises(StoreUnreachable):
        ReplayReader("s3://robots/store")
