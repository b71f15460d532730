"""A store as one `.npz` of plain arrays, for whatever reads NumPy; no more than a block of rows
is held in memory."""

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from porl_ros.replay.schema import Actor, ReplaySchema
from porl_ros.replay.tools.blocks import read_blocks
from porl_ros.replay.tools.runs import Run
from porl_ros.replay.tools.transitions import Transitions, transitions

BLOCK_ROWS = 16_384


class Exported(NamedTuple):
    """What went into an export."""

    rows: int
    episodes: int
    left_out: int  # rows after which nothing is known


def export_npz(
    runs: list[Run],
    schema: ReplaySchema,
    path: Path,
    progress: Callable[[int], None] = lambda rows: None,
) -> Exported:
    """Write every transition of the runs to `path`, which appears when it is complete.

    Arrays with an element a transition: observation, action, requested_action, reward,
    next_observation, terminated, truncated, actor, policy_version, episode, step, stamp, row (its
    number in its run), run (an index of run_names). `episode_offsets` (e + 1) says where each
    episode begins, and the end. Raises OSError.
    """
    with TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        columns = _Columns(Path(folder), schema)
        for index, (run_folder, identity) in enumerate(runs):
            for part in transitions(read_blocks(run_folder, identity, BLOCK_ROWS)):
                columns.add(index, part)
                progress(len(part.rows) + part.left_out)
        names = {
            "run_names": [identity.name for _, identity in runs],
            "actor_names": [actor.name.lower() for actor in sorted(Actor)],
            "observation_names": schema.observation_names,
            "action_names": schema.action_names,
            "contract_hash": schema.contract_hash,
        }
        new = Path(folder) / "new.npz"
        columns.write(new, {name: np.array(value, np.str_) for name, value in names.items()})
        new.rename(path)
    return Exported(columns.rows, len(columns.offsets), columns.left_out)


class _Columns:
    """Arrays that grow on disk, each in a file of its own, until they are packed."""

    def __init__(self, folder: Path, schema: ReplaySchema):
        row = schema.row_dtype
        described = {name: (row[name].base, row[name].shape) for name in row.names}
        described |= {"terminated": (np.dtype(bool), ()), "truncated": (np.dtype(bool), ())}
        described["next_observation"] = described["observation"]
        described |= {"run": (np.dtype("<i4"), ()), "row": (np.dtype("<i8"), ())}
        self._described, self._folder = described, folder
        self.rows = self.left_out = 0
        self.offsets: list[int] = []  # where episodes begin
        self._episode: tuple[int, int] | None = None  # run and number of the last one

    def add(self, run: int, part: Transitions) -> None:
        arrays = {name: part.rows[name] for name in part.rows.dtype.names}
        arrays |= {"next_observation": part.next_observation, "row": part.numbers}
        arrays["run"] = np.full(len(part.rows), run)
        for name, (dtype, _) in self._described.items():
            with open(self._folder / name, "ab") as file:
                file.write(np.ascontiguousarray(arrays[name], dtype))
        self._find_episodes(run, part.rows["episode"])
        self.rows += len(part.rows)
        self.left_out += part.left_out

    def _find_episodes(self, run: int, numbers: np.ndarray) -> None:
        if not len(numbers):
            return
        if (run, int(numbers[0])) != self._episode:
            self.offsets.append(self.rows)
        self.offsets += (np.flatnonzero(np.diff(numbers)) + 1 + self.rows).tolist()
        self._episode = run, int(numbers[-1])

    def write(self, path: Path, more: dict[str, np.ndarray]) -> None:
        """Pack all columns, and some arrays more."""
        offsets = np.array([*self.offsets, self.rows], np.int64)
        self._truncate(offsets[1:] - 1)
        with zipfile.ZipFile(path, "w") as archive:
            for name, (dtype, shape) in self._described.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    described = {"descr": dtype.str, "fortran_order": False}
                    described["shape"] = (self.rows, *shape)
                    np.lib.format.write_array_header_2_0(file, described)
                    with open(self._folder / name, "rb") as column:
                        shutil.copyfileobj(column, file)
            for name, array in (more | {"episode_offsets": offsets}).items():
                with archive.open(f"{name}.npy", "w") as file:
                    np.lib.format.write_array(file, array, allow_pickle=False)

    def _truncate(self, last: np.ndarray) -> None:
        """Mark the last transitions of episodes whose end was left out."""
        if not self.rows:
            for name in self._described:
                (self._folder / name).touch()
            return
        terminated, truncated = (
            np.memmap(self._folder / name, bool, "r+") for name in ("terminated", "truncated")
        )
        truncated[last] |= ~terminated[last]
        truncated.flush()
