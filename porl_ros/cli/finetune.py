"""`porl finetune`: the learner on a Gymnasium environment, without ROS."""

from pathlib import Path

import gymnasium
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from porl_ros.errors import ConfigError, PorlError
from porl_ros.learning.config import PorlConfig
from porl_ros.learning.gym_loop import GymFineTuning
from porl_ros.paths import require_empty_or_missing, resolve_robot_config
from porl_ros.policy.bundle import load_bundle
from porl_ros.policy.network import Actor
from porl_ros.policy.runtime import resolve_device
from porl_ros.simulation.env import RobotEnv

console = Console()


def finetune_env(
    env_id: str, variant: str | None, output: Path, base: Path | None, learner_config: Path | None,
    presample: bool, device: str, seed: int,
) -> None:  # fmt: skip
    """Fine-tune `base` (or a new policy) on an environment; the result is `output/final`."""
    require_empty_or_missing(output, "run")
    config = PorlConfig.load(learner_config)
    config = config if presample else config.without_presample()
    env, contract = _make(env_id, variant)
    actor = _actor(env, base)
    tuning = GymFineTuning(env, actor, config, seed, resolve_device(device))
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("starting", total=config.total_steps)
        for progress in tuning.run():
            text = f"{progress.stage}, success {progress.recent_success:.2f}"
            bar.update(task, description=text, completed=progress.env_steps)
    version = (load_bundle(base).manifest.version if base else 0) + 1
    tuning.save(output / "final", contract, version)
    console.print(
        f"success of the last episodes {tuning.progress.recent_success:.2f} -> {output / 'final'}"
    )


def _make(env_id: str, variant: str | None) -> tuple[gymnasium.Env, dict]:
    """The environment with actions in [-1, 1], and what stands for its contract."""
    try:
        robot = resolve_robot_config(env_id)
    except ConfigError as unknown:
        if Path(env_id).suffix or env_id not in gymnasium.registry:
            raise PorlError(f"{unknown}; and Gymnasium knows no environment '{env_id}'") from None
        return _make_foreign(env_id, variant), {"gymnasium": env_id}
    env = RobotEnv(str(robot), variant)
    return env, env.robot.config.contract


def _make_foreign(env_id: str, variant: str | None) -> gymnasium.Env:
    if variant:
        raise PorlError(
            f"--variant '{variant}': {env_id} is no robot config and has no cells; leave it out"
        )
    env = gymnasium.make(env_id)
    for name, space in (("observation", env.observation_space), ("action", env.action_space)):
        if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
            raise PorlError(f"{env_id}: the {name} space is {space}; a flat Box is needed")
    return gymnasium.wrappers.RescaleAction(env, -1.0, 1.0)


def _actor(env: gymnasium.Env, base: Path | None) -> Actor:
    sizes = env.observation_space.shape[0], env.action_space.shape[0]
    if base is None:
        return Actor(*sizes)
    actor = load_bundle(base).actor
    if (actor.observation_size, actor.action_size) != sizes:
        raise PorlError(
            f"{base}: takes {actor.observation_size} observations and gives "
            f"{actor.action_size} actions; "
            f"the environment has {sizes[0]} and {sizes[1]}"
        )
    return actor
