"""Rows on their way to the journal: preallocated, so that logging copies and never allocates."""

import operator
import struct
from collections.abc import Mapping

import numpy as np

from porl_ros.replay.disk.frames import FrameSlots
from porl_ros.replay.schema import Actor, Records, ReplaySchema

SCALARS = struct.Struct("<f??BiiiQ")  # reward to stamp, the last fields of row_dtype
INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1
WHOLE = {  # fields that count, and from where to where
    "actor": (0, len(Actor) - 1),
    "policy_version": (-1, INT32_MAX),
    "episode": (0, INT32_MAX),
    "step": (0, INT32_MAX),
    "stamp": (0, INT64_MAX),
}


class RowPacker:
    """Packs what a control loop hands over into one row, or names the field at fault.

    A row costs a few microseconds: NumPy is called once for all numbers, and what is wrong is only
    looked for once something is. One thread at a time.
    """

    def __init__(self, schema: ReplaySchema):
        self.row = np.zeros((), schema.row_dtype)  # the row that was packed last
        self._vectors = {name: self.row[name] for name in schema.row_dtype.names[:3]}
        self._bytes = memoryview(self.row.reshape(1).view(np.uint8))
        self._scalars_at = len(self._bytes) - SCALARS.size
        self._numbers = np.frombuffer(self._bytes, np.float32, self._scalars_at // 4 + 1)
        self._finite = bytearray(len(self._numbers))
        self._finite_mask = np.frombuffer(self._finite, np.bool_)

    def pack(
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
    ) -> None:
        """Put a transition into `row`; raises ValueError naming the field."""
        vectors = self._vectors
        _fill(vectors["observation"], "observation", observation)
        _fill(vectors["action"], "action", action)
        _fill(vectors["requested_action"], "requested_action", requested_action)
        scalars = reward, terminated, truncated, actor, policy_version, episode, step, stamp
        try:
            SCALARS.pack_into(self._bytes, self._scalars_at, *scalars)
            good = 0 <= actor < len(Actor) and policy_version >= -1
            good = good and episode >= 0 and step >= 0 and stamp <= INT64_MAX
        except (struct.error, OverflowError, TypeError):
            good = False
        np.isfinite(self._numbers, out=self._finite_mask)
        if not good or 0 in self._finite:
            whole = (actor, policy_version, episode, step, stamp)
            raise ValueError(self._fault(reward, dict(zip(WHOLE, whole, strict=True))))

    def _fault(self, reward: object, whole: dict[str, object]) -> str:
        for field, vector in self._vectors.items():
            if not np.isfinite(vector).all():
                return f"{field}: {vector} must be finite; refuse it before it is recorded"
        for field, value in whole.items():
            low, high = WHOLE[field]
            try:
                if low <= operator.index(value) <= high:
                    continue
            except TypeError:
                pass
            return f"{field}: {value!r} must be a whole number from {low} to {high}"
        return f"reward: {reward!r} must be one finite number; refuse it before it is recorded"

    def final(self, ended: bool, value: object) -> np.ndarray | None:
        """The final observation of an episode that ended, None of one that goes on."""
        if ended != (value is not None):
            raise ValueError(
                f"final_observation: got {value!r}; give it when an episode ends, and only then"
            )
        if not ended:
            return None
        final = np.empty_like(self._vectors["observation"])
        _fill(final, "final_observation", value)
        if not np.isfinite(final).all():
            raise ValueError(f"final_observation: {final} must be finite")
        return final


def _fill(vector: np.ndarray, field: str, value: object) -> None:
    try:
        if not isinstance(value, np.ndarray):
            value = np.asarray(value, dtype=np.float32)
        if value.shape == vector.shape:
            vector[...] = value
            return
    except (TypeError, ValueError, RuntimeWarning) as error:
        raise ValueError(f"{field}: not an array of numbers ({error})") from None
    raise ValueError(f"{field}: shape {value.shape}, expected {vector.shape}")


class RowBuffer:
    """Up to `capacity` rows, their finals and images. Not locked: whoever holds it is alone with
    it. `full`: the next row, or an image of it, might not fit."""

    def __init__(self, schema: ReplaySchema, capacity: int):
        self._rows = np.empty(capacity, schema.row_dtype)
        # One more: the first may be of a row that has left already
        self._finals = np.empty(capacity + 1, schema.final_dtype)
        self.images = [FrameSlots(stream) for stream in schema.images]
        self._half = capacity // 2
        self.clear()

    def add_row(self, row: np.ndarray) -> None:
        self._rows[self.rows] = row
        self.rows += 1
        if self.rows >= self._half:
            self._fill_up(self.rows, len(self._rows))

    def add_frame(self, slots: FrameSlots, row: int, image: np.ndarray) -> None:
        """`slots`: one of those that `frames` returned."""
        slots.add(row, image)
        self._fill_up(slots.count, slots.capacity)

    def _fill_up(self, used: int, room: int) -> None:
        self.half_full |= 2 * used >= room
        self.full |= used >= room

    def add_final(self, row: int, truncated: bool, observation: np.ndarray) -> None:
        self._finals[self.finals] = (row, truncated, observation)
        self.finals += 1

    def frames(self, images: Mapping[str, object]) -> list[tuple[FrameSlots, np.ndarray]]:
        """Where each image goes; raises ValueError for one that fits no stream."""
        slots = {waiting.stream.name: waiting for waiting in self.images}
        for name in images:
            if name not in slots:
                raise ValueError(f"images: no stream {name!r}, this store has {[*slots] or 'none'}")
        return [(slots[name], slots[name].check(image)) for name, image in images.items()]

    def records(self, first_row: int, first_final: int) -> Records:
        """A view, valid until `clear`."""
        rows, finals = self._rows[: self.rows], self._finals[: self.finals]
        return Records(first_row, first_final, rows, finals)

    def clear(self) -> None:
        self.rows = self.finals = 0
        self.half_full = self.full = False
        for slots in self.images:
            slots.count = 0
