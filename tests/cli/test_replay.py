"""`porl replay` as a user runs it: what it says, what it leaves, and its exit codes."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from porl_ros.cli.replay import parse_age, parse_size
from porl_ros.replay import ReplayWriter, read_store, robot_schema
from porl_ros.replay.disk.layout import RunFolder


def log_episodes(writer: ReplayWriter, count: int, length: int = 5) -> None:
    """Every other episode succeeds; at 20 Hz, by policies that get newer."""
    for episode in range(count):
        for step in range(length):
            last, won = step == length - 1, episode % 2 == 0
            observation = np.full(15, episode + step / 10)
            writer.log(
                observation=observation, action=np.zeros(3), requested_action=np.ones(3),
                reward=float(last and won), terminated=last and won, truncated=last and not won,
                actor=episode % 2, policy_version=episode // 2, episode=episode, step=step,
                stamp=1_700_000_000_000_000_000 + (episode * length + step) * 50_000_000,
                final_observation=observation + 1 if last else None,
            )  # fmt: skip


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, config) -> Path:
    """A closed store of one run: ten episodes of five steps."""
    store = tmp_path_factory.mktemp("recorded") / "store"
    with ReplayWriter(store, robot_schema(config), "arm", "monday", 60.0, 20) as writer:
        log_episodes(writer, 10)
    return store


@pytest.fixture
def store(recorded, tmp_path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(recorded, tmp_path / "runs" / "store"))


@pytest.fixture
def open_writer(config) -> Callable[[Path], ReplayWriter]:
    return lambda store: ReplayWriter(store, robot_schema(config), "arm", "live")


def damage(store: Path) -> Path:
    path = next(store.glob("writers/arm/monday/segments/*/reward/c.0"))
    path.write_bytes(path.read_bytes()[:-1])
    return path


def test_ls(porl, store, open_writer, tmp_path):
    with open_writer(tmp_path / "runs" / "live") as writer:
        log_episodes(writer, 1)
        writer.flush()
        said = porl("replay", "ls", tmp_path / "runs")
    assert said.code == 0
    live, closed = said.out.split("├")  # a line between the two
    assert "writing" in live
    assert str(store) in closed.replace("\n", "")
    for text in ("50 rows", "10 episodes", "1 run", "closed"):
        assert text in closed
    damage(store)
    (store / "writers/arm/monday/segments/000000000000/zarr.json").write_text("{")
    assert "damaged" in porl("replay", "ls", tmp_path).out
    (store / "zarr.json").write_text("{}")
    assert "does not describe a replay store" in porl("replay", "ls", tmp_path).out.replace(
        "\n", " "
    )
    assert "no such folder" in porl.fails("replay", "ls", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    assert "no replay store below" in porl("replay", "ls", tmp_path / "empty").out


@pytest.mark.slow
def test_info(porl, store, tmp_path):
    said = porl("replay", "info", store, "--plot", tmp_path / "picture.png")
    assert said.code == 0
    for text in (
        "monday", "50", "10", "success 0.50", "mean return 0.5", "versions 0 to 4",
        "policy 50%", "human 50%", "20 Hz", "2023-11-14 22:13:20", "█ ",
    ):  # fmt: skip
        assert text in said.out, text
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.size > (400, 400)
        assert len(np.unique(np.asarray(picture))) > 20
    told = json.loads(porl("replay", "info", store, "--json").out)
    run = told["runs"]["arm/monday"]
    assert (run["rows"], run["episodes"], run["success"], run["rate_hz"]) == (50, 10, 0.5, 20.0)
    assert run["policy_versions"] == [0, 1, 2, 3, 4]
    assert run["actors"] == {"policy": 0.5, "human": 0.5}


@pytest.mark.slow
def test_info_of_nothing(porl, config, tmp_path):
    ReplayWriter(tmp_path / "store", robot_schema(config), "arm", "one").close()
    said = porl("replay", "info", tmp_path / "store", "--plot", tmp_path / "picture.png")
    assert said.code == 0
    assert (tmp_path / "picture.png").exists()
    told = json.loads(porl("replay", "info", tmp_path / "store", "--json").out)
    assert told["runs"]["arm/one"]["success"] is None


def test_verify_and_repair(porl, store):
    said = porl("replay", "verify", store)
    assert (said.code, said.out) == (
        0, "sound: 50 rows in 1 runs, 1 segments and 0 journals proved\n",
    )  # fmt: skip
    path = damage(store)
    said = porl("replay", "verify", store)
    assert said.code == 1
    assert re.search(rf"fault: arm/monday: segment: {path.parents[1]} cannot be read", said.out)
    assert "`porl replay repair` sets it aside" in said.out
    assert "1 faults: 0 rows" in said.out
    said = porl("replay", "repair", store, "--dry-run")
    assert said.code == 0
    assert f"would set aside {path.parents[1]}" in said.out
    assert path.exists()
    said = porl("replay", "repair", store)
    assert said.code == 0
    assert f"set aside: {path.parents[1]}.damaged" in said.out
    assert "kept: 0 rows" in said.out
    assert porl("replay", "verify", store).code == 0
    assert porl("replay", "repair", store).out == "nothing to repair\n"


def test_what_is_lost_in_the_middle_is_said(porl, config, tmp_path):
    with ReplayWriter(tmp_path / "s", robot_schema(config), "arm", "one", 60.0, 20) as writer:
        for _ in range(3):
            log_episodes(writer, 4)
            writer.flush()
    shutil.rmtree(RunFolder(tmp_path / "s", "arm", "one").segment(20))
    assert "rows 20 to 39 are missing" in porl("replay", "verify", tmp_path / "s").out
    said = porl("replay", "repair", tmp_path / "s")
    assert "lost: rows 20 to 39" in said.out
    assert "kept: 40 rows" in said.out
    said = porl("replay", "verify", tmp_path / "s")
    assert said.code == 0
    assert "note: arm/one: rows 20 to 39 are lost, as is on record" in said.out


def test_a_run_that_is_written_is_not_repaired(porl, open_writer, tmp_path):
    with open_writer(tmp_path / "store") as writer:
        log_episodes(writer, 1)
        writer.flush()
        (journal,) = (tmp_path / "store").rglob("*.wal")
        size = journal.stat().st_size
        with open(journal, "r+b") as file:  # as a failing disk would
            file.seek(size // 2)
            file.write(b"\xff" * 8)
        log_episodes(writer, 1)
        writer.flush()
        said = porl("replay", "repair", tmp_path / "store")
        assert said.code == 1
        assert "is being written; stop its writer first" in said.out


def test_compact_and_merge(porl, store, config, tmp_path):
    said = porl("replay", "compact", store, tmp_path / "small")
    assert said.code == 0
    assert re.search(rf"50 rows, .* -> .*, proved row for row -> {tmp_path / 'small'}", said.out)
    rows = np.concatenate([chunk.rows for chunk in read_store(store)])
    (chunk,) = read_store(tmp_path / "small")
    assert chunk.rows.tobytes() == rows.tobytes()
    line = porl.fails("replay", "merge", store, tmp_path / "small", tmp_path / "both")
    assert f"arm/monday is in {store} and in {tmp_path / 'small'}" in line
    ReplayWriter(tmp_path / "other", robot_schema(config), "arm", "tuesday").close()
    assert porl("replay", "merge", store, tmp_path / "other", tmp_path / "both").code == 0
    assert porl("replay", "verify", tmp_path / "both").code == 0
    assert "nothing is overwritten" in porl.fails("replay", "compact", store, tmp_path / "small")


def test_prune(porl, config, tmp_path):
    with ReplayWriter(tmp_path / "s", robot_schema(config), "arm", "one", 60.0, 20) as writer:
        for _ in range(5):
            log_episodes(writer, 4)
            writer.flush()
    said = porl("replay", "prune", tmp_path / "s", "--max-size", "1B", "--dry-run")
    assert re.fullmatch(r"arm: would drop 4 segments, \d+\.\d kB\n", said.out)
    assert porl("replay", "prune", tmp_path / "s", "--max-age", "30d").out == (
        "arm: dropped 0 segments, 0 bytes\n"
    )
    assert "dropped 4 segments" in porl("replay", "prune", tmp_path / "s", "--max-size", "1B").out
    assert porl("replay", "verify", tmp_path / "s").code == 0


@pytest.mark.parametrize(
    ("text", "expected"), [("20GB", 20 * 10**9), ("3 MiB", 3 << 20), ("512kb", 512_000)]
)
def test_sizes(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("30d", 2_592_000), ("1.5h", 5400), ("90min", 5400), ("45s", 45)]
)
def test_ages(text, expected):
    assert parse_age(text) == expected


def test_export(porl, store, tmp_path):
    npz, mcap = tmp_path / "store.npz", tmp_path / "store.mcap"
    said = porl("replay", "export", store, "--npz", npz, "--mcap", mcap)
    assert said.code == 0
    assert f"50 transitions, 10 episodes -> {npz}" in said.out
    assert f"50 rows of 1 runs -> {mcap}" in said.out
    with np.load(npz, allow_pickle=False) as arrays:
        assert arrays["next_observation"].shape == (50, 15)
    assert mcap.read_bytes().startswith(b"\x89MCAP0")
    assert "is there already" in porl.fails("replay", "export", store, "--npz", npz)
    nowhere = tmp_path / "nowhere" / "a.npz"
    assert "make it first" in porl.fails("replay", "export", store, "--npz", nowhere)
    line = porl.fails("replay", "export", store, "--mcap", tmp_path / "b", "--run", "arm/may")
    assert "no such run; have arm/monday" in line
    damage(store)
    line = porl.fails("replay", "export", store, "--mcap", tmp_path / "c.mcap")
    assert "put the store in order first" in line


@pytest.mark.parametrize("command", ["info", "verify", "repair", "compact", "merge", "prune"])
def test_what_is_no_store_is_refused(porl, tmp_path, command):
    more = {"compact": [tmp_path / "out"], "merge": [tmp_path / "out"]}
    more["prune"] = ["--max-age", "1d"]
    arguments = more.get(command, [])
    line = porl.fails("replay", command, tmp_path / "nowhere", *arguments)
    assert "there is no replay store at" in line
    (tmp_path / "zarr.json").write_text('{"attributes": {"porl_replay": {"format_version": 9}}}')
    assert "update porl_ros" in porl.fails("replay", command, tmp_path, *arguments)
    (tmp_path / "zarr.json").write_text('{"attributes": {}}')
    assert "does not describe a replay store" in porl.fails("replay", command, tmp_path, *arguments)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["prune", "s"], "nothing is dropped"),
        (["prune", "s", "--max-size", "many"], "is no size"),
        (["prune", "s", "--max-size", "0"], "is no size"),
        (["prune", "s", "--max-age", "30"], "is no age"),
        (["export", "s"], "--npz"),
        (["import", "b", "--store", "s", "--actor", "robot"], "must be human or expert"),
        (["import", "b"], "--store"),
        (["import", "b", "--store", "s", "--episode-gap", "0"], "--episode-gap"),
        (["merge", "s"], "Missing argument"),
        (["list"], "No such command"),
    ],
)
def test_wrong_usage_is_told_and_exits_with_2(porl, arguments, complaint):
    said = porl("replay", *arguments)
    assert said.code == 2
    assert complaint in said.err
