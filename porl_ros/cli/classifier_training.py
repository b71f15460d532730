"""What `porl classifier train` does, apart from showing it."""

from pathlib import Path

import torch

from porl_ros.cli.terminal import progress
from porl_ros.learning.classifier import Manifest, load_classifier, save_classifier
from porl_ros.learning.classifying import HANDS, ClassifierConfig, examples, train_classifier
from porl_ros.paths import require_empty_or_missing
from porl_ros.replay import read_store
from porl_ros.robot.loading import load_robot


def train_and_save(
    stores: list[Path],
    output: Path,
    robot: str,
    hidden: tuple[int, ...],
    threshold: float,
    steps: int,
    seed: int,
) -> Manifest:
    """Learn from the stores; what is written is read and verified before it is believed."""
    torch.set_num_threads(1)  # faster than two for networks of this size
    require_empty_or_missing(output, "classifier")
    config = load_robot(robot)
    settings = ClassifierConfig(hidden=hidden, threshold=threshold, steps=steps)
    contract = config.contract_hash, config.contract
    chunks = [chunk for store in dict.fromkeys(stores) for chunk in read_store(store, *contract)]
    with progress() as bar:
        task = bar.add_task("training", total=HANDS * settings.steps)
        classifier, held_out = train_classifier(
            examples(chunks), settings, seed, lambda: bar.advance(task)
        )
    manifest = save_classifier(output, classifier, config, held_out, "porl classifier train")
    load_classifier(output, config)
    return manifest
