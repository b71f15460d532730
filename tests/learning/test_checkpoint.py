"""A learner that is started again goes on as if nothing had happened, bit for bit."""

import contextlib
import hashlib
import json
import logging
import os
import random
import shutil
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from stores import Robot, make

from porl_ros.errors import ConfigError
from porl_ros.learning.checkpoint import (
    BOOKS,
    INDEX,
    CheckpointError,
    CheckpointMismatch,
    Index,
    read_checkpoint,
    write_checkpoint,
)
from porl_ros.learning.checkpoints import Checkpoints
from porl_ros.learning.finetuning import FineTuning
from porl_ros.learning.trainer import Stage
from porl_ros.policy.bundle import MANIFEST, WEIGHTS

KILLS = int(os.environ.get("PORL_CHECKPOINT_KILLS", "8"))


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, config, base) -> Path:
    """Two runs with all the rows that are learned from, and two checkpoints of a learner."""
    folder = tmp_path_factory.mktemp("recorded")
    for seed in range(2):
        robot = Robot(folder / "store", config, seed=seed)
        robot.walk(60)
        robot.writer.close()
    tuning = make(folder, config, base)
    for count in (70, 20):
        rounds(tuning, count)
        checkpointed(folder / "checkpoints", tuning)
    return folder


@pytest.fixture
def store(recorded, tmp_path) -> Path:
    """The rows alone."""
    shutil.copytree(recorded / "store", tmp_path / "store")
    return tmp_path


def rounds(tuning: FineTuning, count: int | None = None) -> FineTuning:
    """So many rounds of work, or all there is."""
    while count != 0 and tuning.advance():
        count = None if count is None else count - 1
    return tuning


def checkpointed(folder: Path, tuning: FineTuning) -> Path:
    checkpoints = Checkpoints(folder, tuning.made_for)
    assert checkpoints.save(tuning.state_dict())
    checkpoints.close()
    return newest(folder)


def newest(folder: Path) -> Path:
    return sorted(folder.glob("[0-9]*"))[-1]


def resumed(folder: Path, tuning: FineTuning) -> FineTuning:
    with contextlib.closing(Checkpoints(folder, tuning.made_for)) as checkpoints:
        tuning.resume(checkpoints.newest(tuning.state_dict()))
    return tuning


def published(folder: Path) -> list[tuple[bytes, dict]]:
    """Weights and manifests of all bundles, but for when they were made."""
    found = []
    for path in sorted(folder.iterdir()):
        manifest = json.loads((path / MANIFEST).read_text())
        del manifest["made_at"]
        found.append(((path / WEIGHTS).read_bytes(), manifest))
    return found


def assert_same(first: FineTuning, second: FineTuning) -> None:
    one, other = first.state_dict(), second.state_dict()
    assert one.books == other.books
    assert one.tensors.keys() == other.tensors.keys()
    for part, tensors in one.tensors.items():
        assert tensors.keys() == other.tensors[part].keys()
        for name, tensor in tensors.items():
            same = torch.equal(tensor.nan_to_num(-9), other.tensors[part][name].nan_to_num(-9))
            assert same, (part, name)


def test_what_was_tuned_by_hand_stays_so_unless_it_is_configured_anew(store, config, base):
    tuning = rounds(make(store, config, base), 70)
    wanted = tuning.config.model_copy(update={"utd": 3, "critic_learning_rate": 1e-5})
    assert tuning.tune(wanted) == {"utd": (2, 3), "critic_learning_rate": (3e-4, 1e-5)}
    checkpointed(store / "checkpoints", tuning)
    same = resumed(store / "checkpoints", make(store, config, base))
    assert same.config == wanted
    assert same.trainer.porl.state_dict().books == tuning.trainer.porl.state_dict().books
    other = resumed(store / "checkpoints", make(store, config, base, utd=4))
    assert other.config == wanted.model_copy(update={"utd": 4})
    assert_same(rounds(tuning), rounds(same))


def test_what_networks_are_made_of_cannot_be_tuned(store, config, base):
    tuning = make(store, config, base)
    before = tuning.config
    with pytest.raises(ConfigError, match=r"critics = 3: cannot change while it learns, is \d+"):
        tuning.tune(before.model_copy(update={"critics": 3, "utd": 9}))
    assert tuning.config == tuning.trainer.config == before


def slow(kind: str):
    return pytest.param(kind, marks=pytest.mark.slow)


KINDS = {
    "lock-step": {},
    "residual": {"residual_scale": 0.2},
    "several steps": {"n_step": 3, "recent_share": 0.2},
    "full memory": {"memory_capacity": 1000, "total_steps": 115},
}


@pytest.mark.parametrize("at", [1, 62, 100])
@pytest.mark.parametrize("kind", [k if k == "lock-step" else slow(k) for k in KINDS])
def test_it_goes_on_bit_for_bit(store, config, base, kind, at):
    settings = KINDS[kind]
    straight = rounds(make(store, config, base, bundles="straight", **settings))
    first = rounds(make(store, config, base, **settings), at)
    checkpointed(store / "checkpoints", first)
    second = resumed(store / "checkpoints", make(store, config, base, **settings))
    assert second.progress[:6] == first.progress[:6]
    rounds(second)
    assert straight.trainer.stage is not Stage.PRESAMPLE
    assert_same(straight, second)
    assert published(store / "straight") == published(store / "bundles") != []


@pytest.mark.parametrize("at", [1, 2])
def test_on_a_robot_it_goes_on_bit_for_bit(tmp_path, config, base, at):
    """Rows come in pieces, and what cannot be caught up with is forgiven."""
    robot = Robot(tmp_path / "store", config)
    robot.walk(60)
    straight = rounds(make(tmp_path, config, base, lockstep=False, bundles="straight"))
    first = rounds(make(tmp_path, config, base, lockstep=False))
    robot.walk(60)
    robot.writer.close()
    rounds(straight)
    checkpointed(tmp_path / "checkpoints", rounds(first, at))
    second = resumed(tmp_path / "checkpoints", make(tmp_path, config, base, lockstep=False))
    rounds(second)
    assert second.forgiven > 0
    assert_same(straight, second)
    assert published(tmp_path / "straight") == published(tmp_path / "bundles") != []


@pytest.mark.slow
def test_again_and_again_with_demonstrations_and_what_is_held_out(
    store, config, base, demonstrations
):
    """The critics are judged every 250 updates, by episodes that are held out."""
    settings = {"warmup_mc_updates": 300, "warmup_td_updates": 600, "prior_share": 0.25}
    settings |= {"demonstrations": demonstrations, "presample_steps": 60}
    straight = rounds(make(store, config, base, bundles="straight", **settings))
    tuning = make(store, config, base, **settings)
    seen = set()
    while tuning.trainer.stage is not Stage.FINISHED:
        rounds(tuning, 9)
        seen.add(tuning.trainer.warmup.error)
        checkpointed(store / "checkpoints", tuning)
        tuning = resumed(store / "checkpoints", make(store, config, base, **settings))
        rounds(tuning, 1)
    rounds(tuning)
    assert len(seen) > 2
    assert_same(straight, tuning)
    assert published(store / "straight") == published(store / "bundles") != []


def test_what_was_recorded_meanwhile_is_read_on(tmp_path, config, base):
    robot = Robot(tmp_path / "store", config)
    robot.walk(70)
    first = rounds(make(tmp_path, config, base))
    checkpointed(tmp_path / "checkpoints", first)
    robot.walk(25)
    robot.writer.close()
    other = Robot(tmp_path / "store", config, seed=1)
    other.walk(25)
    second = rounds(resumed(tmp_path / "checkpoints", make(tmp_path, config, base)))
    assert second.progress.env_steps == 120
    assert second.progress.gradient_steps == 20 + 2 * 60
    other.writer.close()


def test_versions_rise_though_bundles_are_newer_than_the_checkpoint(tmp_path, config, base):
    robot = Robot(tmp_path / "store", config)
    robot.walk(60)
    first = rounds(make(tmp_path, config, base, lockstep=False))
    robot.walk(30)
    rounds(first)
    assert first.version == 1
    checkpointed(tmp_path / "checkpoints", first)
    robot.walk(20, version=1)
    rounds(first)
    assert first.version == 2
    second = resumed(tmp_path / "checkpoints", make(tmp_path, config, base, lockstep=False))
    assert (second.version, second.latest.name) == (2, "000002")
    robot.walk(20, version=2)  # so the rows come in other pieces than the first time
    rounds(second)
    assert second.version == 3
    assert not second.returns
    robot.writer.close()


def test_a_pause_outlives_the_process(store, config, base):
    first = make(store, config, base)
    rounds(first, 80)
    first.pause(True)
    rounds(first, 3)
    checkpointed(store / "checkpoints", first)
    second = resumed(store / "checkpoints", make(store, config, base))
    assert second.paused
    assert second.grant == first.grant


CHILD = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from porl_ros.learning.checkpoints import Checkpoints
from porl_ros.robot.loading import load_robot
from stores import make

folder = Path(sys.argv[2])
tuning = make(folder, load_robot("ur5e_insert"), Path(sys.argv[3]))
checkpoints = Checkpoints(folder / "checkpoints", tuning.made_for)
tuning.resume(checkpoints.newest(tuning.state_dict()))
print(tuning.progress.gradient_steps)
while tuning.advance():
    pass
"""


@pytest.mark.slow
def test_another_process_goes_on_bit_for_bit(store, config, base):
    rounds(make(store, config, base, bundles="straight"))
    first = rounds(make(store, config, base), 75)
    checkpointed(store / "checkpoints", first)
    here = Path(__file__).parent
    command = [sys.executable, "-c", CHILD, here, store, base]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    said = subprocess.run(
        list(map(str, command)), env=environment, capture_output=True, text=True, check=True
    )
    assert said.stdout.split() == [str(first.progress.gradient_steps)]
    assert published(store / "straight") == published(store / "bundles") != []


# Writing


def test_the_newest_two_are_kept_and_are_private(store, config, base):
    tuning = make(store, config, base)
    checkpoints, written = Checkpoints(store / "checkpoints", tuning.made_for), []
    for _ in range(4):
        rounds(tuning, 20)
        assert checkpoints.save(tuning.state_dict())
        checkpoints.finish()
        assert not checkpoints.save(tuning.state_dict())  # nothing is new
        steps, updates = tuning.progress.env_steps, tuning.progress.gradient_steps
        written.append(f"{steps:09d}-{updates:09d}")
    checkpoints.close()
    kept = sorted(os.listdir(store / "checkpoints"))
    assert kept == written[-2:]
    files = list((store / "checkpoints" / kept[0]).iterdir())
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o400}
    assert stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700
    assert {path.suffix for path in files} == {".json", ".safetensors"}


def test_nothing_is_written_before_anything_is_learned_from(store, config, base):
    tuning = make(store, config, base)
    checkpoints = Checkpoints(store / "checkpoints", tuning.made_for)
    assert not checkpoints.save(tuning.state_dict())
    assert checkpoints.newest(tuning.state_dict()) is None
    checkpoints.close()


def test_what_is_written_is_what_was_when_it_was_asked_for(store, config, base):
    tuning = rounds(make(store, config, base), 70)
    checkpoints = Checkpoints(store / "checkpoints", tuning.made_for)
    checkpoints.save(tuning.state_dict())
    updates = tuning.progress.gradient_steps
    before = hashlib.sha256(tuning.trainer.porl.critics.flat.detach().numpy().tobytes()).digest()
    rounds(tuning)  # while it is written
    checkpoints.finish()
    state = checkpoints.newest(tuning.state_dict()).state
    assert state.books["porl"]["critic_updates"] == updates < tuning.progress.gradient_steps
    flat = state.tensors["critics"]["flat"].numpy().tobytes()
    assert hashlib.sha256(flat).digest() == before
    checkpoints.close()


def test_a_learner_has_its_folder_for_itself(store, config, base):
    tuning = make(store, config, base)
    first = Checkpoints(store / "checkpoints", tuning.made_for)
    with pytest.raises(CheckpointError, match="another learner is at work here"):
        Checkpoints(store / "checkpoints", tuning.made_for)
    first.close()
    Checkpoints(store / "checkpoints", tuning.made_for).close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB. Needs root."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("may not mount a disk of its own")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_full_disk_is_told_and_learning_goes_on(store, config, base, small_disk, caplog):
    shutil.copytree(store / "store", small_disk.parent / "big" / "store")
    tuning = make(store, config, base, bundles="disk/bundles")
    checkpoints = Checkpoints(small_disk / "checkpoints", tuning.made_for)
    rounds(tuning, 70)
    assert checkpoints.save(tuning.state_dict())
    checkpoints.finish()
    assert "no checkpoint written, learning goes on: [Errno 28] No space left" in caplog.text
    assert list((small_disk / "checkpoints").iterdir()) == []
    rounds(tuning)
    assert tuning.trainer.stage is Stage.FINISHED
    assert "no bundle written, learning goes on: [Errno 28] No space left" in caplog.text
    assert tuning.version == 0
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    assert checkpoints.save(tuning.state_dict())  # there is room again
    checkpoints.finish()
    assert checkpoints.newest(tuning.state_dict()).state.books["trainer"]["env_steps"] == 120
    checkpoints.close()


def test_kill_9_at_any_moment_leaves_whole_ones(store, config, base):
    """A child process writes one after the other, as fast as it can."""
    tuning, rng = rounds(make(store, config, base), 70), random.Random(0)
    state, like = tuning.state_dict(), make(store, config, base).state_dict()
    folder, progress = store / "checkpoints", 0
    folder.mkdir()
    for _ in range(KILLS):
        child = os.fork()
        if child == 0:
            write_on(folder, tuning.made_for, state)
        wait_for_another(folder, progress)
        time.sleep(rng.uniform(0.0, 0.04))  # any moment
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        checkpoints = Checkpoints(folder, tuning.made_for)
        assert not list(folder.glob(".*"))
        assert len(list(folder.iterdir())) <= 3  # the third was about to be removed
        for path in folder.iterdir():
            found = read_checkpoint(path, tuning.made_for, like)
            progress = max(progress, found.state.books["trainer"]["env_steps"])
        checkpoints.close()
    assert progress >= 60 + KILLS


def wait_for_another(folder: Path, progress: int) -> None:
    deadline = time.monotonic() + 30.0
    while not any(int(name[:9]) > progress for name in os.listdir(folder) if name[0] != "."):
        assert time.monotonic() < deadline
        time.sleep(0.001)


def write_on(folder: Path, made_for: dict, state) -> None:
    """Never returns."""
    checkpoints = Checkpoints(folder, made_for)
    books = state.books["trainer"]
    books["env_steps"] = max((int(p.name[:9]) for p in folder.iterdir()), default=60)
    while True:
        books["env_steps"] += 1
        checkpoints._write(folder / f"{books['env_steps']:09d}-000000001", state)


# Reading


@pytest.fixture
def written(recorded, store, config, base) -> FineTuning:
    """A new learner, beside checkpoints of an earlier one."""
    shutil.copytree(recorded / "checkpoints", store / "checkpoints")
    return make(store, config, base)


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    replace(path, bytes(content))


def replace(path: Path, content: bytes) -> None:
    path.unlink()  # they may only be read
    path.write_bytes(content)


PARTS = [
    "actor.safetensors", "acting.safetensors", "critics.safetensors", "targets.safetensors",
    "actor_adam.safetensors",
    "critic_adam.safetensors", "random.safetensors", "data.safetensors", BOOKS,
]  # fmt: skip


def test_these_are_the_parts(store, written):
    names = {path.name for path in newest(store / "checkpoints").iterdir()}
    assert names == {*PARTS, INDEX}


@pytest.mark.parametrize("part", PARTS)
def test_a_mixture_is_refused_by_the_part_that_does_not_fit(store, written, part):
    older, newer = sorted((store / "checkpoints").iterdir())
    replace(newer / part, (older / part).read_bytes())
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(newer, written.made_for, written.state_dict())
    assert f"{newer / part}: is not the one that {INDEX} names" in str(caught.value)


@pytest.mark.parametrize("name", [*PARTS, INDEX])
def test_a_damaged_one_is_told_and_the_one_before_is_taken(
    store, written, config, base, name, caplog
):
    older, newer = sorted((store / "checkpoints").iterdir())
    spoil(newer / name)
    with caplog.at_level(logging.ERROR):
        second = resumed(store / "checkpoints", written)
    assert f"{newer / name}: " in caplog.text
    assert f"set aside, going on from {older.name}" in caplog.text
    assert sorted(p.name for p in (store / "checkpoints").iterdir()) == [
        older.name, f"{newer.name}.damaged"
    ]  # fmt: skip
    assert f"{second.progress.env_steps:09d}" == older.name[:9]
    if name == INDEX:
        rounds(second)
        assert_same(rounds(make(store, config, base, bundles="straight")), second)
        checkpointed(store / "checkpoints", second)


def test_without_a_sound_one_it_says_so_and_leaves_all_as_it_is(store, written, config, base):
    for path in (store / "checkpoints").iterdir():
        (path / "critics.safetensors").unlink()
    before = sorted((store / "checkpoints").rglob("*"))
    tuning = make(store, config, base)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="no checkpoint can be used: .*critics.*remove"):
            resumed(store / "checkpoints", tuning)
    assert sorted((store / "checkpoints").rglob("*")) == before


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"seed": 3}, "seed: here 3, there 0"),
        ({"n_step": 2}, "learner.n_step: here 2, there 3"),
        ({"critic_hidden": (16,)}, "learner.critic_hidden: here [16], there [16, 16]"),
    ],
)
def test_another_run_is_refused_by_the_field_that_differs(
    store, written, config, base, settings, told
):
    with pytest.raises(CheckpointMismatch) as caught:
        resumed(store / "checkpoints", make(store, config, base, **settings))
    assert told in str(caught.value)
    assert "or name another output folder" in str(caught.value)


def test_one_of_another_release_is_refused_and_left_alone(store, written, config, base):
    before = sorted((store / "checkpoints").iterdir())
    for path in before:
        content = json.loads((path / INDEX).read_bytes()) | {"format_version": 1}
        content["sha256"] = Index.model_validate(content).rightly_hashed
        replace(path / INDEX, json.dumps(content).encode())
    with pytest.raises(CheckpointMismatch, match="format_version 1, this release reads 2; go on"):
        resumed(store / "checkpoints", written)
    assert sorted((store / "checkpoints").iterdir()) == before


def test_another_base_is_refused(store, written, config, base, tmp_path):
    from porl_ros.policy.bundle import load_bundle, save_bundle

    actor = load_bundle(base).actor
    with torch.no_grad():
        actor.layers[0].bias += 0.01
    other = tmp_path / "other"
    save_bundle(other, actor, config.contract, made_by="test", version=0, exploration_std=0.2)
    with pytest.raises(CheckpointMismatch, match="base_policy: here"):
        resumed(store / "checkpoints", make(store, config, other))


def test_another_store_is_refused(store, written, config, base):
    shutil.rmtree(store / "store")
    tuning = resumed(store / "checkpoints", written)
    assert not tuning.advance()
    what = "with the rows that were learned from"
    assert tuning.waiting_for == f"the replay store {store / 'store'} {what}"
    other = Robot(store / "store", config, seed=7)
    other.walk(120)
    with pytest.raises(CheckpointMismatch, match="does not hold the rows .* name the store"):
        rounds(tuning)
    other.writer.close()


def test_rows_that_are_others_are_refused_though_they_are_as_many(store, written, config, base):
    runs = sorted(path.name for path in (store / "store" / "writers" / "ur5e_insert").iterdir())
    shutil.rmtree(store / "store")
    for run in runs:
        robot = Robot(store / "store", config, seed=9, run=run)
        robot.walk(60)
        robot.writer.close()
    with pytest.raises(CheckpointMismatch, match="row 59 is another one now"):
        rounds(resumed(store / "checkpoints", make(store, config, base)))


def test_other_demonstrations_are_refused(store, config, base, demonstrations, tmp_path):
    settings = {"prior_share": 0.25, "demonstrations": demonstrations}
    checkpointed(store / "checkpoints", rounds(make(store, config, base, **settings), 70))
    settings["demonstrations"] = store / "store"
    with pytest.raises(CheckpointMismatch, match="the demonstrations are not those"):
        resumed(store / "checkpoints", make(store, config, base, **settings))


def test_writing_does_not_hold_training_up(store, config, base):
    """What the training thread spends on it is copying: less than a few updates take."""
    tuning = rounds(make(store, config, base, critic_hidden=(256, 256)), 70)
    checkpoints = Checkpoints(store / "checkpoints", tuning.made_for)
    begun = time.perf_counter()
    assert checkpoints.save(tuning.state_dict())
    held_up = time.perf_counter() - begun
    checkpoints.close()
    assert held_up < 0.1


def test_a_checkpoint_is_never_overwritten(store, written):
    path = newest(store / "checkpoints")
    with pytest.raises(OSError, match="not empty"):
        write_checkpoint(path, written.made_for, written.state_dict())
