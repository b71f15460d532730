"""A store, and writers of it that are closed when the test ends."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from replay_rows import SCHEMA

from porl_ros.replay import ReplayWriter


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "store"


@pytest.fixture
def open_writer(store: Path) -> Iterable[Callable[..., ReplayWriter]]:
    """Opens writers of this test's store, closed at its end."""
    writers = []

    def opener(robot: str = "arm", **options: object) -> ReplayWriter:
        writers.append(ReplayWriter(store, options.pop("schema", SCHEMA), robot, **options))
        return writers[-1]

    yield opener
    for writer in writers:
        writer.close()
