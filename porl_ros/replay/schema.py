"""What a replay store holds: its contract, and the two packed records on disk and in memory."""

import hashlib
from enum import IntEnum
from functools import cached_property
from typing import NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

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
    "Actor",
    "ContractMismatch",
    "CorruptSegment",
    "Records",
    "ReplayError",
    "ReplaySchema",
    "RunIdentity",
    "RunLocked",
    "StoreFormatError",
    "join",
    "robot_schema",
]

FORMAT_VERSION = 1


class Actor(IntEnum):
    """Who chose the action that was executed."""

    POLICY = 0
    HUMAN = 1
    EXPERT = 2
    SAFETY = 3


class ReplaySchema(BaseModel):
    """The contract a store was recorded under; kept in the attributes of its root group."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = Field(default=FORMAT_VERSION, ge=1)
    contract_hash: str = Field(min_length=1)
    contract: dict = {}  # what the hash is of, so that a refusal can name the field that differs
    observation_names: tuple[str, ...] = Field(min_length=1)
    action_names: tuple[str, ...] = Field(min_length=1)

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
    """Consecutive rows and finals of one run, with the numbers of the first of each."""

    first_row: int
    first_final: int
    rows: np.ndarray
    finals: np.ndarray

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
        )


def join(parts: list[Records]) -> Records:
    """One Records of consecutive parts (at least one)."""
    rows = np.concatenate([part.rows for part in parts])
    finals = np.concatenate([part.finals for part in parts])
    return Records(parts[0].first_row, parts[0].first_final, rows, finals)
