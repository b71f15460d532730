"""The replay store: what the robot did, safe on disk at once, and how a learner reads it."""

from porl_ros.replay.disk.images import Images, read_images
from porl_ros.replay.disk.retention import Retention
from porl_ros.replay.errors import ReplayError
from porl_ros.replay.memory.replay_memory import Batch, Episode, ReplayMemory
from porl_ros.replay.reading.reader import Chunk, ReplayReader, read_store
from porl_ros.replay.schema import Actor, ImageStream, ReplaySchema, robot_schema
from porl_ros.replay.writing.writer import ReplayWriter

__all__ = [
    "Actor",
    "Batch",
    "Chunk",
    "Episode",
    "ImageStream",
    "Images",
    "ReplayError",
    "ReplayMemory",
    "ReplayReader",
    "ReplaySchema",
    "ReplayWriter",
    "Retention",
    "read_images",
    "read_store",
    "robot_schema",
]
