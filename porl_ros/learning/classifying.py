"""From the episodes of replay stores to a classifier of success, and how good it is.

An observation is a success when it ended an episode that way; every other one is none. Episodes are
divided, never observations: neighbours are alike, and would tell each other's answer.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from pydantic import Field
from scipy.optimize import minimize

from porl_ros.configfile import StrictModel, Width
from porl_ros.learning.classifier import Bin, Classifier, ClassifierError, Quality, probability
from porl_ros.policy.network import Actor
from porl_ros.replay import Chunk

FEWEST = 10  # episodes that succeeded, and that did not
HANDS = 5  # that the episodes are dealt to; the last one is held out
MIN_STD = 1e-3  # of an observation's element that hardly varies
NOISE = 0.01  # on observations, in units of their std
BINS = 10


class ClassifierConfig(StrictModel):
    """Settings of the training; no hidden layers make it a logistic regression."""

    hidden: tuple[Width, ...] = Field((64, 64), description="widths of the hidden layers")
    steps: int = Field(1000, ge=1, le=1_000_000, description="gradient steps")
    batch_size: int = Field(256, ge=2, le=65_536, description="half of them successes")
    learning_rate: float = Field(3e-3, gt=0, le=1, description="of Adam, falling to 0 (cosine)")
    threshold: float = Field(0.9, gt=0, lt=1, description="of the confusion matrix")


class Examples(NamedTuple):
    """Observations (n, k), whether each is a success (n,), and of which episode it is (n,)."""

    observations: np.ndarray
    success: np.ndarray
    episode: np.ndarray

    def of(self, episodes: np.ndarray) -> "Examples":
        """Those of some episodes alone."""
        return Examples(*(part[np.isin(self.episode, episodes)] for part in self))


def examples(chunks: Sequence[Chunk]) -> Examples:
    """All observations of a store, or of several; of episodes without an end too."""
    runs: dict[str, list[Chunk]] = {}
    for chunk in chunks:
        runs.setdefault(chunk.run, []).append(chunk)
    parts, count = [], 0
    for run in runs.values():
        part = _of_run(run)
        parts.append(part._replace(episode=part.episode + count))
        count = int(parts[-1].episode.max(initial=count)) + 1
    if not parts:
        raise ClassifierError("the store holds no transitions; record episodes first")
    return Examples(*map(np.concatenate, zip(*parts, strict=True)))


def _of_run(chunks: list[Chunk]) -> Examples:
    rows = np.concatenate([chunk.rows for chunk in chunks])
    numbers = np.concatenate([chunk.first_row + np.arange(len(chunk.rows)) for chunk in chunks])
    finals = np.concatenate([chunk.finals for chunk in chunks])
    finals = finals[np.isin(finals["row"], numbers)]
    last = rows[np.searchsorted(numbers, finals["row"])]
    done = (last["terminated"] > 0) & (last["reward"] > 0)
    return Examples(
        np.concatenate([rows["observation"], finals["observation"]]),
        np.concatenate([np.zeros(len(rows), bool), done]),
        np.concatenate([rows["episode"], last["episode"]]).astype(np.int64),
    )


def train_classifier(
    given: Examples,
    config: ClassifierConfig,
    seed: int = 0,
    progress: Callable[[], None] = lambda: None,
) -> tuple[Classifier, Quality]:
    """Train on four fifths of the episodes and measure on the last one; seeded.

    It is calibrated (Platt) with what networks say of the fifth that they were not trained on.
    `progress` is called after each of HANDS times `steps` steps. ClassifierError when there is too
    little to learn from.
    """
    *hands, last = _deal(given, seed)
    said = []
    for i, hand in enumerate(hands):
        others = np.concatenate(hands[:i] + hands[i + 1 :])
        network, unseen = _fit(given.of(others), config, seed, progress), given.of(hand)
        said.append((_outputs(network, unseen), unseen.success))
    slope, offset = platt(*map(np.concatenate, zip(*said, strict=True)))
    network, test = _fit(given.of(np.concatenate(hands)), config, seed, progress), given.of(last)
    likely = probability(_outputs(network, test), slope, offset)
    held_out = quality(likely, test.success, len(last), config.threshold)
    return Classifier(network, slope, offset), held_out


def _deal(given: Examples, seed: int) -> list[np.ndarray]:
    """The episodes, dealt out; each hand has its share of those that succeeded."""
    rng, hands = np.random.default_rng(seed), [np.empty(0, np.int64)] * HANDS
    succeeded = np.unique(given.episode[given.success])
    failed = np.setdiff1d(given.episode, succeeded)
    for what, found in (("succeeded", succeeded), ("did not", failed)):
        if len(found) < FEWEST:
            raise ClassifierError(
                f"{len(found)} episodes {what}: {FEWEST} or more are needed of each kind, to learn "
                "from, to calibrate with and to hold out; record more"
            )
        dealt = np.array_split(rng.permutation(found), HANDS)
        hands = [np.concatenate(both) for both in zip(hands, dealt, strict=True)]
    return hands


def _fit(
    given: Examples, config: ClassifierConfig, seed: int, progress: Callable[[], None]
) -> Actor:
    torch.manual_seed(seed)
    network = Actor(given.observations.shape[1], 1, config.hidden)
    std = np.maximum(given.observations.std(0), MIN_STD)
    network.set_normalisation(given.observations.mean(0), std)
    optimiser = torch.optim.Adam(network.parameters(), config.learning_rate, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    kinds = [torch.from_numpy(given.observations[given.success == kind]) for kind in (True, False)]
    half = config.batch_size // 2
    truth = torch.cat([torch.ones(half), torch.zeros(half)])
    for _ in range(config.steps):
        seen = torch.cat([kind[torch.randint(len(kind), (half,))] for kind in kinds])
        seen = seen + NOISE * network.std * torch.randn_like(seen)
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network(seen)[:, 0], truth)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
        progress()
    return network


def _outputs(network: Actor, given: Examples) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(given.observations))[:, 0].numpy().astype(np.float64)


def platt(outputs: np.ndarray, success: np.ndarray) -> tuple[float, float]:
    """Slope and offset with which outputs (n,) are the likeliest to have made these successes.

    J. Platt, Probabilistic Outputs for Support Vector Machines, 1999, with his smoothed targets.
    """
    positives, negatives = int(success.sum()), int((~success).sum())
    wanted = np.where(success, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: np.ndarray) -> float:
        scaled = parameters[0] * outputs + parameters[1]
        return float(np.mean(np.logaddexp(0.0, scaled) - wanted * scaled))

    slope, offset = minimize(loss, (1.0, 0.0), bounds=[(1e-3, None), (None, None)]).x
    return float(slope), float(offset)


def quality(likely: np.ndarray, success: np.ndarray, episodes: int, threshold: float) -> Quality:
    """How well probabilities (n,) fit what really was a success (n,)."""
    said = likely >= threshold
    places = np.minimum((likely * BINS).astype(int), BINS - 1)
    bins = [
        Bin(
            predicted=float(likely[places == i].mean()),
            observed=float(success[places == i].mean()),
            count=int((places == i).sum()),
        )
        for i in np.unique(places)
    ]
    off = sum(one.count * abs(one.predicted - one.observed) for one in bins) / len(likely)
    return Quality(
        episodes=episodes,
        threshold=threshold,
        true_positives=int((said & success).sum()),
        false_positives=int((said & ~success).sum()),
        false_negatives=int((~said & success).sum()),
        true_negatives=int((~said & ~success).sum()),
        brier=float(np.mean((likely - success) ** 2)),
        calibration_error=off,
        bins=tuple(bins),
    )
