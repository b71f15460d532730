"""The process in which episodes are filmed: `python -m porl_ros.validation.filming FUNCTION`.

Arguments come as JSON on its standard input, from `video`, which has chosen the OpenGL library.
"""

import json
import math
import sys
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from porl_ros.errors import PorlError
from porl_ros.policy.bundle import load_bundle
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.variant import Variant
from porl_ros.validation.evaluation import run_episode
from porl_ros.validation.measures import Case, measure

LARGE, SMALL = (480, 360), (320, 240)
RATE = {LARGE: 12.5, SMALL: 5.0}  # pictures a second of simulated time, at most
PLAIN = 4  # samples a pixel of small pictures, which have no shadows: a third of the time
HOLD = 12  # pictures that the last one stays
APART = 1e-3  # by which an observation may be another than was recorded
OURS = 3  # exit code of an error that is not OpenGL's


class FilmedEnv(RobotEnv):
    """Takes pictures of what happens in it, which changes nothing."""

    def __init__(self, config: RobotConfig, variant: str | None, size: tuple[int, int]):
        super().__init__(config, variant)
        self._renderer = _renderer(self.robot.model, size)
        self._every = math.ceil(config.control_rate / RATE[size])
        self.period = round(1000 * self._every / config.control_rate)  # ms
        self.pictures: list[tuple[float, np.ndarray]] = []  # s since the episode began, and it
        self.succeeded = False

    def reset(self, **options):
        begun = super().reset(**options)
        self.pictures = []
        self._take()
        return begun

    def step(self, action: np.ndarray):
        outcome = super().step(action)
        self.succeeded, over = outcome[2], outcome[2] or outcome[3]
        if over or self.controller.steps % self._every == 0:
            self._take()
        return outcome

    def _take(self) -> None:
        self._renderer.update_scene(self.robot.data, self.robot.scene.camera)
        seconds = self.controller.steps / self.controller.config.control_rate
        self.pictures.append((seconds, self._renderer.render()))


def _renderer(model: mujoco.MjModel, size: tuple[int, int]) -> mujoco.Renderer:
    if size == SMALL:
        model.vis.quality.offsamples = PLAIN
    renderer = mujoco.Renderer(model, height=size[1], width=size[0])
    for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
        renderer.scene.flags[flag] &= size != SMALL
    return renderer


def compare(robot: str, variant: str, bundles: list[str], seed: int, output: str) -> None:
    """Two policies, without exploration, in the same episode side by side, as a GIF."""
    config = load_robot(robot)
    env = FilmedEnv(config, variant, LARGE)
    films = []
    for bundle, title in zip(bundles, ("before", "after"), strict=True):
        run_episode(env, load_bundle(bundle, config).actor.for_control(), seed)
        films.append(_captioned(env, title))
    length = max(map(len, films)) + HOLD
    left, right = (film + [film[-1]] * (length - len(film)) for film in films)
    frames = [_joined(a, b).quantize(128) for a, b in zip(left, right, strict=True)]
    frames[0].save(
        output, save_all=True, append_images=frames[1:], duration=env.period, loop=0, optimize=True
    )


def judged(robot: str, cases: list[dict], folder: str) -> None:
    """Episodes of a validation, those that come to what was measured then."""
    config = load_robot(robot)
    env = FilmedEnv(config, None, SMALL)
    for number, said in enumerate(cases):
        expected = said.pop("success"), said.pop("steps")
        cell, bundle = Variant.model_validate(said.pop("cell")), Path(said.pop("bundle"))
        found = measure(env, config, Case(bundle=bundle, cell=cell, **said))
        if (found.success, found.steps) == expected:
            _save(env, Path(folder), number)


def recorded(robot: str, variant: str, seeds: list[int], folder: str) -> None:
    """Episodes of a replay store, those in which everything is observed again as it was then."""
    env = FilmedEnv(load_robot(robot), variant, SMALL)
    for number, seed in enumerate(seeds):
        rows = np.load(Path(folder) / f"{number}.npz", allow_pickle=False)
        if _plays(env, seed, rows["asked"], rows["observed"]):
            _save(env, Path(folder), number)


def _plays(env: RobotEnv, seed: int, asked: np.ndarray, observed: np.ndarray) -> bool:
    observation, over = env.reset(seed=seed)[0], False
    for action, expected in zip(asked, observed, strict=True):
        if over or not np.allclose(observation, expected, rtol=0.0, atol=APART):
            return False
        observation, _, terminated, truncated, _ = env.step(action)
        over = terminated or truncated
    return over


def _save(env: FilmedEnv, folder: Path, number: int) -> None:
    frames = _captioned(env, "")
    frames[-1].save(folder / f"{number}.still.webp", quality=60)
    frames[0].save(
        folder / f"{number}.webp", save_all=True, append_images=[*frames[1:], *[frames[-1]] * HOLD],
        duration=env.period, loop=0, quality=45, method=4, minimize_size=True,
    )  # fmt: skip


def _captioned(env: FilmedEnv, title: str) -> list[Image.Image]:
    texts = [f"{title} {seconds:.1f} s" for seconds, _ in env.pictures]
    texts[-1] += ": success" if env.succeeded else ": failed"
    return [_caption(seen, text) for (_, seen), text in zip(env.pictures, texts, strict=True)]


def _caption(picture: np.ndarray, text: str) -> Image.Image:
    image = Image.fromarray(picture)
    draw, high = ImageDraw.Draw(image), image.height // 12
    draw.rectangle((0, 0, image.width, high), fill=(25, 32, 44))
    font = ImageFont.load_default(0.6 * high)
    draw.text((0.3 * high, 0.1 * high), text.strip(), fill=(255, 255, 255), font=font)
    return image


def _joined(left: Image.Image, right: Image.Image) -> Image.Image:
    joined = Image.new("RGB", (left.width + right.width + 4, left.height), (255, 255, 255))
    joined.paste(left, (0, 0))
    joined.paste(right, (left.width + 4, 0))
    return joined


def main() -> int:
    """Returns the exit code: `OURS` for an error that no other OpenGL library would mend."""
    function = {"compare": compare, "judged": judged, "recorded": recorded}[sys.argv[1]]
    try:
        function(**json.load(sys.stdin))
    except PorlError as error:
        print(error, file=sys.stderr)
        return OURS
    return 0


if __name__ == "__main__":
    sys.exit(main())
