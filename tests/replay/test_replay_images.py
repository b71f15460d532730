"""Images beside the rows: kept as safely as they are, and at no cost where there are none."""

import os
import shutil

import numpy as np
import pytest
import zarr
from image_rows import SCHEMA, STREAMS, TOP, check_images, log_with_images, make_image
from pydantic import ValidationError
from replay_rows import SCHEMA as PLAIN
from replay_rows import check_rows, log_rows, make_row

from porl_ros.replay import ReplayReader, ReplaySchema, ReplayWriter, read_store
from porl_ros.replay.disk.frames import decode, encode
from porl_ros.replay.disk.images import read_images
from porl_ros.replay.errors import ContractMismatch, InvalidName, StoreFormatError
from porl_ros.replay.schema import ImageStream


@pytest.fixture
def crashed(store, tmp_path):
    """A store as a crash leaves it: two segments of 30 rows and a journal of three blocks of 5."""
    with ReplayWriter(store, SCHEMA, "arm", "one", 60.0, 30) as writer:
        for _ in range(15):
            log_with_images(writer, 5)
            writer.flush()
        writer._flusher._sealer.submit(int).result()
        return shutil.copytree(store, tmp_path / "crashed")


def test_images_are_ordinary_arrays_of_a_sealed_segment(store, open_writer):
    with open_writer(schema=SCHEMA, run="one") as writer:
        log_with_images(writer, 21)
    segment = store / "writers/arm/one/segments/000000000000"
    group = zarr.open_group(segment, mode="r")
    wrist, top = group["images/wrist"], group["images/top"]
    assert wrist["frame"].shape == (21, 6, 8, 3)
    assert np.array_equal(wrist["frame"][7], make_image("wrist", 7))
    assert wrist["row"][...].tolist() == list(range(21))
    assert top["row"][...].tolist() == list(range(0, 21, 3))
    start, end = top["offset"][2:4]
    jpeg = bytes(top["data"][start:end])
    assert jpeg == encode(TOP, make_image("top", 6))
    assert abs(decode(TOP, jpeg).astype(int) - make_image("top", 6)).mean() < 30
    assert dict(top.attrs) == TOP.model_dump() | {"frames": 7, "bytes": top["data"].shape[0]}
    assert check_rows(read_store(store)) == 21
    assert not list((store / "writers/arm/one/journal").iterdir())


def test_images_can_be_read_once_acknowledged(store, open_writer):
    writer = open_writer(schema=SCHEMA, run="one", flush_interval=60.0)
    log_with_images(writer, 10)
    assert len(read_images(store, "arm/one", 0, 10, "wrist").rows) == 0
    writer.flush()
    found = check_images(store, "arm/one", 3, 5, 10)
    assert found.rows.tolist() == [3, 4, 5, 6, 7]
    assert found.damaged == []


def test_images_are_read_across_segments_and_journal(crashed):
    assert check_images(crashed, "arm/one", 25, 45, 75).rows.tolist() == list(range(25, 70))
    assert check_images(crashed, "arm/one", 70, 100, 75).rows.tolist() == list(range(70, 75))
    assert read_images(crashed, "arm/two", 0, 10, "top").images.shape == (0, 16, 16, 1)
    with pytest.raises(StoreFormatError, match=r"no images 'left'.*wrist"):
        read_images(crashed, "arm/one", 0, 10, "left")
    with pytest.raises(InvalidName, match="^run:"):
        read_images(crashed, "arm", 0, 10, "top")


def test_images_in_large_chunks(store, open_writer, monkeypatch):
    monkeypatch.setattr("porl_ros.replay.disk.frame_arrays.CHUNK_BYTES", 500)
    with open_writer(schema=SCHEMA, run="one") as writer:
        log_with_images(writer, 30)
    group = zarr.open_group(store / "writers/arm/one/segments/000000000000/images", mode="r")
    assert group["wrist/frame"].chunks[0] == 3
    assert group["top/data"].chunks == (500,)
    assert np.array_equal(group["wrist/frame"][29], make_image("wrist", 29))
    assert len(check_images(store, "arm/one", 0, 30, 30).rows) == 30


def test_recovery_keeps_images(crashed):
    reader = ReplayReader(crashed)
    assert check_rows(reader.poll()) == 75
    ReplayWriter(crashed, SCHEMA, "arm").close()
    assert check_images(crashed, "arm/one", 0, 75, 75).damaged == []
    assert check_rows(reader.poll() + read_store(crashed), cut=True) == 75
    assert not list(crashed.rglob("*.wal*"))
    assert not list(crashed.rglob("*.img*"))


def test_images_without_their_rows_are_dropped(crashed):
    (journal,) = crashed.rglob("*.wal")
    os.truncate(journal, journal.stat().st_size - 1)  # the last block was cut, not its images
    orphan = journal.with_name("000000000090.img")
    orphan.write_bytes(b"images")
    ReplayWriter(crashed, SCHEMA, "arm").close()
    assert len(check_images(crashed, "arm/one", 0, 75, 70).rows) == 70
    assert not list(crashed.rglob("*.img*"))


@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_damaged_images_are_named_and_kept_aside(crashed, harm, caplog):
    (heap,) = crashed.rglob("*.img")
    data = bytearray(heap.read_bytes())
    data[len(data) // 2] ^= 1
    heap.write_bytes(data[: len(data) // 2] if harm == "cut" else data)
    if harm == "remove":
        heap.unlink()
    before = {name: read_images(crashed, "arm/one", 0, 75, name).damaged for name in STREAMS}
    assert sum(len(rows) for rows in before.values()) > 0
    ReplayWriter(crashed, SCHEMA, "arm").close()
    assert "was damaged: images of rows" in caplog.text
    assert bool(list(crashed.rglob("*.img.damaged"))) == (harm != "remove")
    check_images(crashed, "arm/one", 0, 75, 75)
    after = {name: read_images(crashed, "arm/one", 0, 75, name).damaged for name in STREAMS}
    assert after == before


def test_only_an_image_of_the_stream_is_decoded():
    large = TOP.model_copy(update={"height": 64})
    jpeg = encode(large, np.zeros(large.shape, np.uint8))
    assert decode(large, jpeg).shape == (64, 16, 1)
    for payload in (jpeg, jpeg[:20], b""):
        with pytest.raises(ValueError):  # noqa: PT011  whatever the decoder says
            decode(TOP, payload)
    with pytest.raises(ValueError, match="reshape"):
        decode(ImageStream(name="raw", height=2, width=2), b"xy")


def test_full_of_images_the_journal_is_sealed(store, open_writer, monkeypatch):
    monkeypatch.setattr("porl_ros.replay.writing.flush.IMAGE_BYTES", 2000)
    with open_writer(schema=SCHEMA, run="one", flush_interval=60.0) as writer:
        for _ in range(4):
            log_with_images(writer, 10)
            writer.flush()
    assert len(list((store / "writers/arm/one/segments").iterdir())) == 4
    assert len(check_images(store, "arm/one", 0, 40, 40).rows) == 40


def test_a_disk_too_slow_for_images_stops_recording(open_writer, monkeypatch):
    monkeypatch.setattr("porl_ros.replay.disk.frames.WAITING_BYTES", 10 * 6 * 8 * 3)
    monkeypatch.setattr("porl_ros.replay.writing.flush.Flusher._flush", lambda _: None)
    writer = open_writer(schema=SCHEMA)
    log_with_images(writer, 10)
    assert writer.log(**make_row(10), images={"wrist": make_image("wrist", 10)}) == -1
    assert "too slow" in writer.fault


@pytest.mark.parametrize(
    "images",
    [
        {"left": np.zeros((6, 8, 3), np.uint8)},
        {"wrist": np.zeros((6, 8, 3))},
        {"wrist": np.zeros((8, 6, 3), np.uint8)},
        {"wrist": np.zeros((6, 8, 3), np.uint8), "top": None},
    ],
)
def test_a_bad_image_is_refused(store, open_writer, images):
    writer = open_writer(schema=SCHEMA, run="one")
    with pytest.raises(ValueError, match="^images:"):
        writer.log(**make_row(0), images=images)
    assert writer.rows == 0
    log_with_images(writer, 10)
    writer.flush()
    assert len(check_images(store, "arm/one", 0, 10, 10).rows) == 10


def test_a_gray_image_needs_no_channel(store, open_writer):
    writer = open_writer(schema=SCHEMA, run="one")
    writer.log(**make_row(0), images={"top": make_image("top", 0)[..., 0]})
    writer.flush()
    assert len(read_images(store, "arm/one", 0, 1, "top").rows) == 1


def test_a_store_without_images_is_as_ever(store, open_writer):
    with open_writer(run="one") as writer:
        log_rows(writer, 10)
        writer.flush()
        with pytest.raises(ValueError, match=r"^images: no stream 'wrist', this store has none"):
            writer.log(**make_row(10), images={"wrist": make_image("wrist", 10)})
    assert PLAIN.model_dump() == {
        "format_version": 1,
        "contract_hash": "c0ffee",
        "contract": {},
        "observation_names": ("x", "y", "z"),
        "action_names": ("u", "v"),
    }
    assert not [path for path in store.rglob("*") if "im" in path.name]
    with pytest.raises(ContractMismatch, match="^images:"):
        open_writer(schema=SCHEMA)


def test_streams_are_checked():
    plain = PLAIN.model_dump()
    del plain["format_version"]
    with pytest.raises(ValidationError, match="differ"):
        ReplaySchema(**plain, images=(TOP, TOP))
    with pytest.raises(ValidationError, match="format_version 1 with 1 images"):
        ReplaySchema(**plain, format_version=1, images=(TOP,))
    for wrong in ({"name": "../x"}, {"height": 0}, {"channels": 2}, {"encoding": "png"}):
        with pytest.raises(ValidationError):
            ImageStream(**(TOP.model_dump() | wrong))
