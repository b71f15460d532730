"""Episodes as films, without a display. They are made in a process of their own.

MuJoCo chooses its OpenGL library when it is imported, so one library a process is tried until one
works. Where none does, what is missing is told, and whoever asked goes on without films.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from porl_ros.validation.measures import Case
from porl_ros.validation.record import Measured
from porl_ros.validation.report.page import Clip, Films, data_uri

LIBRARIES = ("egl", "osmesa")
REMEDY = (
    "install an OpenGL library for software rendering: libegl1 with libegl-mesa0, or libosmesa6"
)
WITHOUT_REMEDY = 3  # exit code of what no other library would mend
PATIENCE = 300.0  # s for all films together
NOT_REPEATED = "does not repeat here: another machine or other code than it was recorded with"


def render_comparison(
    robot: str, variant: str, base: Path, result: Path, seed: int, output: Path
) -> str:
    """Two policies side by side in the same episode, as a GIF; returns an empty text, or why there
    is none and what to do about it."""
    bundles = [str(base), str(result)]
    return _film("compare", robot=str(robot), variant=variant, bundles=bundles, seed=seed,
                 output=str(output))  # fmt: skip


def film_judged(
    robot: str | Path, episodes: Sequence[tuple[Case, Measured]], captions: Sequence[str]
) -> Films:
    """Episodes of a validation, run once more. One that does not come to what was measured then
    is not shown."""
    cases = [
        {"bundle": str(case.bundle), "weights_sha256": case.weights_sha256, "seed": case.seed,
         "cell": case.cell.model_dump(mode="json"), "nominal": case.nominal,
         "success": measured.success, "steps": measured.steps}
        for case, measured in episodes
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        problem = _film("judged", robot=str(robot), cases=cases, folder=folder)
        return _collect(Path(folder), captions, problem)


def film_recorded(
    robot: str | Path,
    variant: str,
    episodes: Sequence[tuple[int, np.ndarray, np.ndarray]],
    captions: Sequence[str],
) -> Films:
    """Episodes of a replay store, each its seed in the simulation, what was asked for (n, m) and
    what was observed (n, k), played again. One that takes another course is not shown."""
    with tempfile.TemporaryDirectory() as folder:
        for number, (_, asked, observed) in enumerate(episodes):
            np.savez(Path(folder) / f"{number}.npz", asked=asked, observed=observed)
        seeds = [int(seed) for seed, _, _ in episodes]
        problem = _film("recorded", robot=str(robot), variant=variant, seeds=seeds, folder=folder)
        return _collect(Path(folder), captions, problem)


def _film(function: str, **arguments: object) -> str:
    """Have `filming.FUNCTION` called; an empty text, or why it could not and the remedy."""
    command = [sys.executable, "-m", "porl_ros.validation.filming", function]
    reason = ""
    for library in LIBRARIES:
        environment = os.environ | {"MUJOCO_GL": library}
        try:
            done = subprocess.run(
                command, env=environment, input=json.dumps(arguments), capture_output=True,
                text=True, timeout=PATIENCE,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"no video (it was not done after {PATIENCE:.0f} s on this machine)"
        if done.returncode == 0:
            return ""
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        if done.returncode == WITHOUT_REMEDY:
            return f"no video ({reason})"
    return f"no video ({reason}); {REMEDY}"


def _collect(folder: Path, captions: Sequence[str], problem: str) -> Films:
    clips, missing = [], []
    for number, caption in enumerate(captions):
        film, still = folder / f"{number}.webp", folder / f"{number}.still.webp"
        if film.is_file():
            uris = (data_uri(path.read_bytes(), "image/webp") for path in (film, still))
            clips.append(Clip(*uris, caption))
        elif not problem:
            missing.append(f"{caption}: {NOT_REPEATED}.")
    return Films(tuple(clips), problem or " ".join(missing))
