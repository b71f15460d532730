"""Two policies side by side in the same episode, as a GIF. Runs headless, in a process of its own.

    python -m porl_ros.validation.video ROBOT VARIANT BASE RESULT SEED OUTPUT

MuJoCo chooses its OpenGL library when it is imported, so `render_comparison` tries one library a
process until one works.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

LIBRARIES = ("egl", "osmesa")
REMEDY = (
    "install an OpenGL library for software rendering: libegl1 with libegl-mesa0, or libosmesa6"
)
SIZE = 480, 360
HOLD = 12  # frames that the last picture stays


def render_comparison(
    robot: str, variant: str, base: Path, result: Path, seed: int, output: Path
) -> str:
    """Write the GIF; returns an empty text, or why there is none and what to do about it."""
    reason = ""
    for library in LIBRARIES:
        command = [sys.executable, "-m", "porl_ros.validation.video", robot, variant]
        command += [str(base), str(result), str(seed), str(output)]
        environment = os.environ | {"MUJOCO_GL": library}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
        if done.returncode == 0:
            return ""
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"no video ({reason}); {REMEDY}"


def _main(robot: str, variant: str, base: str, result: str, seed: str, output: str) -> None:
    from porl_ros.robot.loading import load_robot

    config = load_robot(robot)
    left = _film(config, variant, base, int(seed), "before")
    right = _film(config, variant, result, int(seed), "after")
    length = max(len(left), len(right)) + HOLD
    left, right = (film + [film[-1]] * (length - len(film)) for film in (left, right))
    frames = [_join(a, b) for a, b in zip(left, right, strict=True)]
    period = round(1000 / config.control_rate)
    frames[0].save(
        output, save_all=True, append_images=frames[1:], duration=period, loop=0, optimize=True
    )


def _film(config, variant: str, bundle: str, seed: int, title: str) -> list:
    import mujoco

    from porl_ros.policy.bundle import load_bundle
    from porl_ros.simulation.env import RobotEnv

    env = RobotEnv(config, variant)
    policy = load_bundle(bundle, config).actor.for_control()
    renderer = mujoco.Renderer(env.robot.model, height=SIZE[1], width=SIZE[0])
    observation, _ = env.reset(seed=seed)
    frames, ended, success = [], False, False
    while not ended:
        frames.append(
            (
                _picture(renderer, env),
                f"{title}: {env.controller.steps / config.control_rate:.1f} s",
            )
        )
        observation, _, success, truncated, _ = env.step(policy(observation))
        ended = success or truncated
    seconds = env.controller.steps / config.control_rate
    verdict = f"inserted after {seconds:.1f} s" if success else f"failed, {seconds:.1f} s"
    frames.append((_picture(renderer, env), f"{title}: {verdict}"))
    renderer.close()
    return [_caption(picture, text) for picture, text in frames]


def _picture(renderer, env) -> np.ndarray:
    renderer.update_scene(env.robot.data, env.robot.scene.camera)
    return renderer.render()


def _caption(picture: np.ndarray, text: str):
    from PIL import Image, ImageDraw, ImageFont

    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, SIZE[0], 30), fill=(25, 32, 44))
    draw.text((10, 5), text, fill=(255, 255, 255), font=ImageFont.load_default(18))
    return image


def _join(left, right):
    from PIL import Image

    joined = Image.new("RGB", (2 * SIZE[0] + 4, SIZE[1]), (255, 255, 255))
    joined.paste(left, (0, 0))
    joined.paste(right, (SIZE[0] + 4, 0))
    return joined.quantize(128)


if __name__ == "__main__":
    _main(*sys.argv[1:])
