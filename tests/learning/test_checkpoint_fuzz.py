"""Checkpoints spoiled in every way are refused by name, and nothing in them is ever executed."""

import hashlib
import json
import shutil

from spoiled import CASES, Files, Spoiler, bounded_memory, read_files
from stores import Robot, make

from porl_ros.errors import PorlError
from porl_ros.learning.checkpoint import INDEX, Index, read_checkpoint, write_checkpoint
from porl_ros.learning.porl import DivergedError


def rehash(files: Files) -> None:
    index = json.loads(files[INDEX])
    for name in index["parts"]:
        index["parts"][name] = hashlib.sha256(files[name]).hexdigest()
    index["sha256"] = Index.model_validate(index).rightly_hashed
    files[INDEX] = json.dumps(index).encode()


def test_spoiled_checkpoints(tmp_path, config, base):
    robot = Robot(tmp_path / "store", config)
    robot.walk(100)
    robot.writer.close()
    tuning = make(tmp_path, config, base)
    folders = []
    for rounds in (64, 30):
        for _ in range(rounds):
            tuning.advance()
        folders.append(tmp_path / f"{rounds}")
        write_checkpoint(folders[-1], tuning.made_for, tuning.state_dict())
    other, files = map(read_files, folders)
    marker, refused = tmp_path / "marker", []
    spoiler = Spoiler(INDEX, other, rehash, marker)
    with bounded_memory():
        for _ in range(CASES):
            fresh, path = make(tmp_path, config, base), tmp_path / "spoiled"
            said = spoiler.spoil(path, files)
            try:
                found = read_checkpoint(path, fresh.made_for, fresh.state_dict())
                fresh.resume(found)
                fresh.advance()
            except (
                DivergedError
            ) as error:  # weights that are sound and absurd, by somebody who knows
                refused.append((said, f"{path}: {error}"))
            except PorlError as error:
                refused.append((said, str(error)))
            shutil.rmtree(path)
    assert not marker.exists()
    assert [one for one in refused if str(path) not in one[1]] == []
    assert len(refused) > 0.75 * CASES
