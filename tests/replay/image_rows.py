"""Images that follow from the number of their row alone, of a camera a row and of one in three."""

import numpy as np
from replay_rows import make_row

from porl_ros.replay import ReplaySchema, ReplayWriter
from porl_ros.replay.disk.frames import decode, encode
from porl_ros.replay.disk.images import Images, read_images
from porl_ros.replay.schema import ImageStream

WRIST = ImageStream(name="wrist", height=6, width=8)
TOP = ImageStream(name="top", height=16, width=16, channels=1, encoding="jpeg")
STREAMS = {stream.name: stream for stream in (WRIST, TOP)}
SCHEMA = ReplaySchema(
    contract_hash="c0ffee",
    observation_names=("x", "y", "z"),
    action_names=("u", "v"),
    images=(WRIST, TOP),
)


def has_image(stream: str, number: int) -> bool:
    return stream == "wrist" or number % 3 == 0


def make_image(stream: str, number: int) -> np.ndarray:
    """What a camera sees with row `number`."""
    shape = STREAMS[stream].shape
    return np.random.default_rng((len(stream), number)).integers(0, 256, shape, np.uint8)


def expected_image(stream: str, number: int) -> np.ndarray:
    """The same after it was stored: a JPEG loses a little."""
    return decode(STREAMS[stream], bytes(encode(STREAMS[stream], make_image(stream, number))))


def log_with_images(writer: ReplayWriter, count: int) -> None:
    for number in range(writer.rows, writer.rows + count):
        images = {name: make_image(name, number) for name in STREAMS if has_image(name, number)}
        assert writer.log(**make_row(number), images=images) == number


def check_images(store, run: str, first: int, count: int, known: int) -> Images:
    """Every image of these rows, of which the run has `known`, is there and the one that its row's
    number says, unless it is named as damaged; the images of the camera that has most."""
    for name in STREAMS:
        found = read_images(store, run, first, count, name)
        there = [n for n in range(first, min(first + count, known)) if has_image(name, n)]
        assert sorted([*found.rows.tolist(), *found.damaged]) == there
        for row, image in zip(found.rows.tolist(), found.images, strict=True):
            assert np.array_equal(image, expected_image(name, row)), (name, row)
    return read_images(store, run, first, count, "wrist")
