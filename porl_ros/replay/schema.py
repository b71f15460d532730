"""What a replay store holds: its contract, and the two packed records on disk and in memory."""

import hashlib
from enum import IntEnum
from functools import cached_property
from typing import Any, Literal, NamedTuple, Self

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from porl_ros.replay.errors import (
    ContractMismatch,
    CorruptSegment,
    ReplayError,
    RunLocked,
    StoreFormatError,
)
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.observation import ObservationAssembler, action_names

__all__ = [
    "FORMAT_VERSION",
    "FRAME",
    "Actor",
    "ContractMismatch",
    "CorruptSegment",
    "ImageStream",
    "Records",
    "ReplayError",
    "ReplaySchema",
    "RunIdentity",
    "RunLocked",
    "StoreFormatError",
    "join",
    "robot_schema",
]

FORMAT_VERSION = 2  # the newest there is: 1 has no images, and a store without any still is 1
FRAME = np.dtype([("row", "<i8"), ("stream", "<u4"), ("size", "<u4"), ("crc32c", "<u4")])
NO_FRAMES = np.empty(0, FRAME)


class Actor(IntEnum):
    """Who chose the action that was executed."""

    POLICY = 0
    HUMAN = 1
    EXPERT = 2
    SAFETY = 3


class ImageStream(BaseModel):
    """A camera whose frames are kept beside the rows, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,79}$")
    height: int = Field(ge=1, le=8192)
    width: int = Field(ge=1, le=8192)
    channels: Literal[1, 3] = 3
    encoding: Literal["raw", "jpeg"] = "raw"
    quality: int = Field(default=90, ge=1, le=100)  # of JPEG

    @property
    def shape(self) -> tuple[int, int, int]:
        return (self.height, self.width, self.channels)

    @property
    def frame_bytes(self) -> int:
        return self.height * self.width * self.channels


class ReplaySchema(BaseModel):
    """The contract a store was recorded under; kept in the attributes of its root group."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = Field(ge=1)  # left out, the oldest that can hold it
    contract_hash: str = Field(min_length=1)
    contract: dict = {}  # what the hash is of, so that a refusal can name the field that differs
    observation_names: tuple[str, ...] = Field(min_length=1)
    action_names: tuple[str, ...] = Field(min_length=1)
    images: tuple[ImageStream, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _oldest_version(cls, given: Any) -> Any:
        if isinstance(given, dict) and "format_version" not in given:
            return given | {"format_version": 2 if given.get("images") else 1}
        return given

    @model_validator(mode="after")
    def _images_fit(self) -> Self:
        if self.format_version != (2 if self.images else 1):
            raise ValueError(f"format_version {self.format_version} with {len(self.images)} images")
        if len({stream.name for stream in self.images}) != len(self.images):
            raise ValueError("images: names must differ from each other")
        return self

    @model_serializer(mode="wrap")
    def _as_in_version_1(self, dump: SerializerFunctionWrapHandler) -> dict:
        """Without images, what releases wrote that did not know any."""
        dumped = dump(self)
        if not self.images:
            del dumped["images"]
        return dumped

    @field_validator("observation_names", "action_names")
    @classmethod
    def _unique(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError(f"names must differ from each other, got {names}")
        return names

    @property
    def observation_size(self) -> int:
        return len(self.observation_names)

    @property
    def action_size(self) -> int:
        return len(self.action_names)

    @cached_property
    def row_dtype(self) -> np.dtype:
        """One transition, packed. `stamp` is in nanoseconds of the ROS clock."""
        return np.dtype(
            [
                ("observation", "<f4", (self.observation_size,)),
                ("action", "<f4", (self.action_size,)),
                ("requested_action", "<f4", (self.action_size,)),
                ("reward", "<f4"),
                ("terminated", "u1"),
                ("truncated", "u1"),
                ("actor", "u1"),
                ("policy_version", "<i4"),
                ("episode", "<i4"),
                ("step", "<i4"),
                ("stamp", "<i8"),
            ]
        )

    @cached_property
    def final_dtype(self) -> np.dtype:
        """The end of an episode: `row` is the number, in its run, of the row it closes."""
        return np.dtype(
            [("row", "<i8"), ("truncated", "u1"), ("observation", "<f4", (self.observation_size,))]
        )


def robot_schema(config: RobotConfig) -> ReplaySchema:
    """The schema of what a robot records. Raises ConfigError for a contract that does not fit."""
    return ReplaySchema(
        contract_hash=config.contract_hash,
        contract=config.contract,
        observation_names=ObservationAssembler(config).names,
        action_names=action_names(config),
    )


class RunIdentity(NamedTuple):
    """Which run of which robot, under which contract, a file belongs to."""

    schema: ReplaySchema
    robot: str
    run: str

    @property
    def name(self) -> str:
        return f"{self.robot}/{self.run}"

    @property
    def fingerprint(self) -> bytes:
        """16 bytes: a file that strayed here from another run or contract has others."""
        text = f"{self.name}\n{self.schema.model_dump_json()}"
        return hashlib.sha256(text.encode()).digest()[:16]


class Records(NamedTuple):
    """Consecutive rows and finals of one run, with the numbers of the first of each.

    `frames` (FRAME) says which images belong to these rows, `stream` counting in `schema.images`;
    the images themselves are elsewhere.
    """

    first_row: int
    first_final: int
    rows: np.ndarray
    finals: np.ndarray
    frames: np.ndarray = NO_FRAMES

    @property
    def next_row(self) -> int:
        return self.first_row + len(self.rows)

    @property
    def next_final(self) -> int:
        return self.first_final + len(self.finals)

    def since(self, row: int, final: int) -> "Records":
        """Without the rows before number `row` and the finals before number `final`."""
        skip_rows, skip_finals = max(0, row - self.first_row), max(0, final - self.first_final)
        return Records(
            self.first_row + skip_rows,
            self.first_final + skip_finals,
            self.rows[skip_rows:],
            self.finals[skip_finals:],
            self.frames[self.frames["row"] >= row],
        )


def join(parts: list[Records]) -> Records:
    """One Records of consecutive parts (at least one)."""
    rows = np.concatenate([part.rows for part in parts])
    finals = np.concatenate([part.finals for part in parts])
    frames = np.concatenate([part.frames for part in parts])
    return Records(parts[0].first_row, parts[0].first_final, rows, finals, frames)
