"""Recorded demonstrations through the contract: what a policy would have seen, and done.

The recorded commands are followed by the same controller that runs on the robot, so observations
and actions are those that the robot would have recorded itself.
"""

import hashlib
import itertools
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from porl_ros.replay.disk.layout import RunFolder
from porl_ros.replay.errors import RunExists
from porl_ros.replay.recordings.importer import Imported, Importer, ImportSettings
from porl_ros.replay.recordings.recording import Recording, RecordingError
from porl_ros.replay.recordings.timeline import find_topics
from porl_ros.replay.schema import robot_schema
from porl_ros.replay.writing.writer import ReplayWriter
from porl_ros.robot.config import RobotConfig

__all__ = ["ImportSettings", "Imported", "import_recording"]

FLUSH_ROWS = 10_000


def import_recording(
    path: Path,
    config: RobotConfig,
    store: Path,
    settings: ImportSettings,
    progress: Callable[[int], Callable[[], None]] = lambda total: lambda: None,
) -> Imported:
    """Read a recording into a new run of a store. Returns what became of it.

    `progress` is told how many messages will be read, and returns what to call after each. Raises
    RecordingError, RunExists (it was imported before), and as ReplayWriter does.
    """
    run = _run_name(path)
    if RunFolder(store, config.name, run).path.exists():
        raise RunExists(
            f"run: {path} is in {store} already, as {config.name}/{run}; remove that folder to "
            "import it once more"
        )
    recording = Recording(path)
    topics = find_topics(recording, config, settings.namespace, settings.success_topic)
    counts = {topic: recording.topics[topic].count for topic in topics.all}
    both = sum(counts.values()) + sum(counts[topic] for topic in topics.sources)
    recording.progress = progress(both)
    importer = Importer(recording, config, topics, settings)
    rows = importer.rows()
    first = next(rows, None)
    if first is None:
        raise RecordingError(f"{path}: holds no step of this contract; {importer.reasons()}")
    writer = ReplayWriter(store, robot_schema(config), config.name, run)
    try:
        with writer:
            for row in itertools.chain([first], rows):
                writer.log(**row)
                if writer.rows % FLUSH_ROWS == 0:
                    writer.flush(60.0)
            writer.flush(60.0)
            importer.found.rows = writer.rows
    except BaseException:  # Ctrl-C, too: half a recording must not pass for all of it
        shutil.rmtree(RunFolder(store, config.name, run).path, ignore_errors=True)
        raise
    importer.found.run = f"{config.name}/{run}"
    return importer.found


def _run_name(path: Path) -> str:
    """Named after the recording and its contents, so that it is not taken in twice."""
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files if path.exists() else ():
        with open(file, "rb") as content:
            digest.update(hashlib.file_digest(content, "sha256").digest())
    name = re.sub(r"[^A-Za-z0-9_-]", "_", path.stem)[:40]
    return f"import-{name}-{digest.hexdigest()[:12]}"
