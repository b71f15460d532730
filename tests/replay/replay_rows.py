"""Rows that follow from their number alone, so that any wrong row anywhere is noticed."""

from collections.abc import Iterable

import numpy as np

from porl_ros.replay import Actor, Chunk, ReplaySchema, ReplayWriter

SCHEMA = ReplaySchema(
    contract_hash="c0ffee", observation_names=("x", "y", "z"), action_names=("u", "v")
)
EPISODE = 7  # steps; even episodes terminate, odd ones are truncated


def make_row(number: int) -> dict:
    """The keywords of `log` for row `number` of a run."""
    last = number % EPISODE == EPISODE - 1
    row = {
        "observation": np.array([number, -number, 0.5], np.float32),
        "action": np.array([number, 1], np.float32),
        "requested_action": np.array([number, 2], np.float32),
        "reward": float(number % 3),
        "terminated": last and number // EPISODE % 2 == 0,
        "truncated": last and number // EPISODE % 2 == 1,
        "actor": Actor(number % 4),
        "policy_version": number // 100,
        "episode": number // EPISODE,
        "step": number % EPISODE,
        "stamp": number * 1_000_000,
    }
    return row | ({"final_observation": row["observation"] + 0.25} if last else {})


def make_chunk(first: int, count: int, run: str = "arm/a") -> Chunk:
    """What a reader has to deliver for these rows."""
    rows, finals = np.zeros(count, SCHEMA.row_dtype), []
    for index in range(count):
        row = make_row(first + index)
        final = row.pop("final_observation", None)
        if final is not None:
            finals.append((first + index, row["truncated"], final))
        for name, value in row.items():
            rows[name][index] = value
    return Chunk(run, first, rows, np.array(finals, SCHEMA.final_dtype))


def log_rows(writer: ReplayWriter, count: int) -> None:
    for number in range(writer.rows, writer.rows + count):
        assert writer.log(**make_row(number)) == number


def check_rows(chunks: Iterable[Chunk], cut: bool = False) -> int:
    """Every row and final is the one its number says, and none comes twice; how many rows.

    `cut`: the last row may have been marked truncated by a recovery.
    """
    following: dict[str, int] = {}
    seen, total = set(), 0
    for chunk in chunks:
        assert chunk.first_row >= following.get(chunk.run, 0)
        expected = make_chunk(chunk.first_row, len(chunk.rows)).rows
        if cut and len(expected):
            expected["truncated"][-1] = chunk.rows["truncated"][-1]
        assert np.array_equal(chunk.rows, expected)
        for final in chunk.finals:
            number = int(final["row"])
            assert final == make_chunk(number, 1).finals[0]
            assert (chunk.run, number) not in seen
            seen.add((chunk.run, number))
        following[chunk.run] = chunk.first_row + len(chunk.rows)
        total += len(chunk.rows)
    return total
