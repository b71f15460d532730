"""Rows on their way to the journal: preallocated, so that logging copies and never allocates."""

import numpy as np

from porl_ros.replay.schema import Actor, Records, ReplaySchema

ACTORS = frozenset(Actor)
INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1


class RowValidator:
    """Turns what a control loop hands over into one packed row, or names the field at fault."""

    def __init__(self, schema: ReplaySchema):
        self._observation, self._action = (schema.observation_size,), (schema.action_size,)

    def final(self, ended: bool, value: object) -> np.ndarray | None:
        """The final observation of an episode that ended, None of one that goes on."""
        if ended != (value is not None):
            raise ValueError(
                f"final_observation: got {value!r}; give it when an episode ends, and only then"
            )
        return _vector("final_observation", value, self._observation) if ended else None

    def row(
        self,
        *,
        observation: object,
        action: object,
        requested_action: object,
        reward: float,
        terminated: bool,
        truncated: bool,
        actor: int,
        policy_version: int,
        episode: int,
        step: int,
        stamp: int,
    ) -> tuple:
        """The row as a tuple in the order of `row_dtype`; raises ValueError naming the field."""
        if actor not in ACTORS:
            raise ValueError(f"actor: {actor!r} is none of {[a.name for a in Actor]}")
        return (
            _vector("observation", observation, self._observation),
            _vector("action", action, self._action),
            _vector("requested_action", requested_action, self._action),
            _vector("reward", reward, ()),
            bool(terminated),
            bool(truncated),
            int(actor),
            _whole("policy_version", policy_version, -1, INT32_MAX),
            _whole("episode", episode, 0, INT32_MAX),
            _whole("step", step, 0, INT32_MAX),
            _whole("stamp", stamp, 0, INT64_MAX),
        )


def _vector(field: str, value: object, shape: tuple[int, ...]) -> np.ndarray:
    try:
        vector = np.asarray(value, dtype=np.float32)
    except (TypeError, ValueError, RuntimeWarning) as error:
        raise ValueError(f"{field}: not an array of numbers ({error})") from None
    if vector.shape != shape:
        raise ValueError(f"{field}: shape {vector.shape}, expected {shape}")
    if not np.isfinite(vector).all():
        raise ValueError(f"{field}: {vector} must be finite; refuse it before it is recorded")
    return vector


def _whole(field: str, value: int, low: int, high: int) -> int:
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = low - 1
    if number != value or not low <= number <= high:
        raise ValueError(f"{field}: {value!r} must be a whole number from {low} to {high}")
    return number


class RowBuffer:
    """Up to `capacity` rows and as many finals. Not locked: whoever holds it is alone with it."""

    def __init__(self, schema: ReplaySchema, capacity: int):
        self._rows = np.empty(capacity, schema.row_dtype)
        self._finals = np.empty(capacity, schema.final_dtype)
        self.rows = self.finals = 0

    @property
    def full(self) -> bool:
        return max(self.rows, self.finals) >= len(self._rows)

    @property
    def half_full(self) -> bool:
        return max(self.rows, self.finals) * 2 >= len(self._rows)

    def add_row(self, row: tuple) -> None:
        self._rows[self.rows] = row
        self.rows += 1

    def add_final(self, row: int, truncated: bool, observation: np.ndarray) -> None:
        self._finals[self.finals] = (row, truncated, observation)
        self.finals += 1

    def records(self, first_row: int, first_final: int) -> Records:
        """A view, valid until `clear`."""
        rows, finals = self._rows[: self.rows], self._finals[: self.finals]
        return Records(first_row, first_final, rows, finals)

    def clear(self) -> None:
        self.rows = self.finals = 0
