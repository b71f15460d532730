"""Commands that make a policy and improve it: demo, demos, bc, evaluate, finetune."""

from pathlib import Path
from typing import Annotated

import typer

from porl_ros.cli.options import (
    BundleArgument,
    CellOption,
    DeviceOption,
    LearnerOption,
    RobotOption,
    SeedOption,
)


def demo(
    seed: SeedOption = 0,
    robot: RobotOption = "ur5e_insert",
    output: Annotated[Path | None, typer.Option(help="Run folder; default runs/<stamp>.")] = None,
    presample: Annotated[
        bool,
        typer.Option(help="Pre-sample, critic warm-up and anchor. Without: watch the collapse."),
    ] = True,
    learner_config: LearnerOption = None,
    video: Annotated[bool, typer.Option(help="Render base and result side by side.")] = True,
    device: DeviceOption = "auto",
) -> None:
    """Clone a policy, watch it fail, fine-tune it through three ROS 2 nodes, compare.

    Example: `porl demo --seed 1`. Then look into the run folder: `summary.json`, `curve.png`,
    `comparison.gif`, `store/`, `learner/bundles/`, `learner/tensorboard/`.
    """
    from porl_ros.cli.demo import Demo

    Demo(robot, seed, output, presample, learner_config, video, device).run()


def demos(
    store: Annotated[
        Path, typer.Option(help="New folder for the demonstrations (a replay store).")
    ],
    robot: RobotOption = "ur5e_insert",
    variant: Annotated[
        str, typer.Option(help="Cell of the scene to demonstrate in.")
    ] = "calibrated",
    count: Annotated[
        int, typer.Option(min=1, max=100_000, help="Successful episodes to keep.")
    ] = 10,
    noise: Annotated[
        float, typer.Option(min=0.0, max=1.0, help="Std of noise on the expert's actions.")
    ] = 0.2,
    seed: SeedOption = 0,
) -> None:
    """Record demonstrations of the scripted expert.

    Example: `porl demos --store runs/demos --count 10`
    """
    from porl_ros.cli.base_policy import record

    record(robot, variant, count, noise, seed, store)


def bc(
    demos: Annotated[Path, typer.Option(help="Replay store with demonstrations.")],
    output: Annotated[Path, typer.Option(help="New folder for the policy bundle.")],
    robot: RobotOption = "ur5e_insert",
    epochs: Annotated[int, typer.Option(min=1, max=100_000, help="Passes over the data.")] = 300,
    exploration_std: Annotated[
        float, typer.Option(min=0.0, max=2.0, help="Noise with which the policy explores.")
    ] = 0.2,
    seed: SeedOption = 0,
) -> None:
    """Clone a policy from demonstrations into a bundle that can be fine-tuned.

    Example: `porl bc --demos runs/demos --output runs/base`
    """
    from porl_ros.cli.base_policy import clone_policy

    clone_policy(robot, demos, output, epochs, exploration_std, seed)


def evaluate(
    bundle: BundleArgument,
    robot: RobotOption = "ur5e_insert",
    variant: CellOption = None,
    episodes: Annotated[
        int, typer.Option(min=1, max=100_000, help="Episodes, each on its own seed.")
    ] = 50,
    seed: Annotated[
        int, typer.Option(min=0, help="Seed of the first episode.")
    ] = 2_000_000_000_000,
) -> None:
    """Run a policy in headless MuJoCo, without exploration, and report its success.

    Example: `porl evaluate runs/base --variant calibrated`
    """
    from porl_ros.cli.base_policy import evaluate_policy

    evaluate_policy(robot, bundle, variant, episodes, seed)


def finetune(
    env: Annotated[
        str, typer.Option(help="Gymnasium environment id with Box spaces, or a robot config.")
    ],
    output: Annotated[Path, typer.Option(help="New folder for the result.")],
    base: Annotated[
        Path | None,
        typer.Option(help="Policy bundle to improve; without one, a new random policy."),
    ] = None,
    learner_config: LearnerOption = None,
    variant: CellOption = None,
    presample: Annotated[bool, typer.Option(help="As in `porl demo`.")] = True,
    device: DeviceOption = "auto",
    seed: SeedOption = 0,
) -> None:
    """Fine-tune without ROS: the same learner on a Gymnasium environment.

    Example: `porl finetune --env ur5e_insert --base runs/base --output runs/gym`
    """
    from porl_ros.cli.finetune import finetune_env

    finetune_env(env, variant, output, base, learner_config, presample, device, seed)
