"""A learned judge: what it learns from, how far it can be believed, and what is refused."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from judged_episodes import record
from made_rows import make_chunk
from safetensors.torch import load_file, save_file

from porl_ros.errors import ContractMismatch
from porl_ros.learning.classifier import (
    MANIFEST,
    WEIGHTS,
    ClassifierError,
    load_classifier,
    save_classifier,
)
from porl_ros.learning.classifying import (
    ClassifierConfig,
    Examples,
    examples,
    platt,
    quality,
    train_classifier,
)
from porl_ros.replay import read_store
from porl_ros.robot.config import RobotConfig

QUICK = ClassifierConfig(steps=1000, hidden=(32,), threshold=0.5)


@pytest.fixture(scope="module")
def episodes(tmp_path_factory, config) -> Examples:
    store = tmp_path_factory.mktemp("judged") / "store"
    record(config, store, successes=20, failures=12)
    return examples(read_store(store))


@pytest.fixture(scope="module")
def trained(episodes):
    torch.set_num_threads(1)
    return train_classifier(episodes, QUICK, seed=0)


@pytest.fixture(scope="module")
def saved(tmp_path_factory, trained, config) -> Path:
    path = tmp_path_factory.mktemp("classifier") / "judge"
    save_classifier(path, trained[0], config, trained[1], made_by="a test")
    return path


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    """One that may be damaged."""
    path = shutil.copytree(saved, tmp_path / "copy")
    for file in path.iterdir():
        file.chmod(0o644)
    return path


def test_only_the_end_of_a_success_is_one(episodes):
    assert episodes.success.sum() == 20
    chunk = make_chunk([True, False, True])
    made = examples([chunk])
    assert made.success.tolist() == [False] * 15 + [True, False, True]
    assert made.episode.tolist() == [0] * 5 + [1] * 5 + [2] * 5 + [0, 1, 2]
    assert np.array_equal(made.observations[15:], chunk.finals["observation"])


def test_runs_are_told_apart_and_an_episode_without_an_end_is_none(episodes):
    first, second = make_chunk([True, True]), make_chunk([False, True])._replace(run="arm/b")
    cut = second._replace(finals=second.finals[:0])  # killed
    made = examples([first, cut])
    assert len(np.unique(made.episode)) == 4
    assert made.success.sum() == 2


def test_it_tells_success_on_episodes_it_has_not_seen(trained):
    _, held_out = trained
    assert held_out.episodes == 4 + 2  # about a fifth of each kind
    assert held_out.true_positives + held_out.false_negatives == 4
    assert held_out.true_positives >= 3
    total = held_out.true_negatives + held_out.false_positives
    assert held_out.false_positives / total < 0.02
    assert held_out.calibration_error < 0.05
    assert sum(one.count for one in held_out.bins) == total + 4


def test_the_same_seed_gives_the_same_classifier(episodes):
    short = ClassifierConfig(steps=50)
    (one, said), (same, again), (other, _) = (
        train_classifier(episodes, short, seed) for seed in (0, 0, 1)
    )
    assert said == again
    weights = [classifier.network.state_dict() for classifier in (one, same, other)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    assert not all(torch.equal(value, weights[2][name]) for name, value in weights[0].items())


def test_probabilities_are_calibrated_where_the_truth_is_uncertain():
    """Two Gaussians that overlap: outputs are pushed apart, and Platt brings them back."""
    rng = np.random.default_rng(0)
    success = rng.random(4000) < 0.2
    outputs = 8.0 * (rng.normal(size=4000) + 1.5 * success) + 3.0
    slope, offset = platt(outputs, success)
    logit = np.log(0.2 / 0.8) + 1.5 * (outputs - 3.0) / 8.0 - 1.5**2 / 2  # by Bayes
    assert np.allclose(slope * outputs + offset, logit, atol=0.5)
    believed = 1.0 / (1.0 + np.exp(-(slope * outputs + offset)))
    assert quality(believed, success, 1, 0.5).calibration_error < 0.03
    raw = 1.0 / (1.0 + np.exp(-np.clip(outputs, -500, 500)))
    assert quality(raw, success, 1, 0.5).calibration_error > 0.2


def test_the_confusion_matrix_counts():
    likely, success = np.array([0.9, 0.8, 0.2, 0.95]), np.array([True, False, True, True])
    found = quality(likely, success, 2, threshold=0.85)
    counts = found.true_positives, found.false_positives, found.false_negatives
    assert (*counts, found.true_negatives) == (2, 0, 1, 1)
    assert found.brier == pytest.approx((0.1**2 + 0.8**2 + 0.8**2 + 0.05**2) / 4)


def test_without_hidden_layers_it_is_a_logistic_regression(episodes):
    classifier, _ = train_classifier(episodes, ClassifierConfig(hidden=(), steps=200), seed=0)
    assert [tuple(p.shape) for p in classifier.network.parameters()] == [(1, 15), (1,)]


@pytest.mark.parametrize(
    ("outcomes", "what"), [([True] * 12, "did not"), ([False] * 12, "succeed")]
)
def test_too_little_to_learn_from_is_refused(outcomes, what):
    with pytest.raises(ClassifierError, match=f"0 episodes {what}.*10 or more.*record more"):
        train_classifier(examples([make_chunk(outcomes)]), QUICK)


def test_what_is_loaded_is_what_was_saved(saved, config, trained, episodes):
    loaded = load_classifier(saved, config)
    for observation in episodes.observations[::50]:
        assert loaded.probability(observation) == trained[0].probability(observation)
    assert {path.name for path in saved.iterdir()} == {MANIFEST, WEIGHTS}
    with pytest.raises(ClassifierError, match="exists already and is never overwritten"):
        save_classifier(saved, loaded, config, trained[1], "a test")


def edit(path: Path, **values) -> None:
    manifest = json.loads((path / MANIFEST).read_text())
    (path / MANIFEST).write_text(json.dumps(manifest | values))


def test_another_contract_is_refused(copy, config):
    other = config.model_dump() | {"control_rate": 20.0}
    with pytest.raises(ContractMismatch, match=r"another contract.*control_rate: here 20.0"):
        load_classifier(copy, RobotConfig.model_validate(other))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("slope", -1.0, "slope: Input should be greater than 0"),
        ("slope", float("nan"), "slope: Input should be a finite number"),
        ("observation_size", 14, "observation_size = 14; the contract has 15"),
        ("hidden", [8], "does not fit the manifest"),
        ("hidden", [65_536] * 8, "hidden: wider|manifest.json: : .*hidden"),
        ("weights_sha256", "0" * 64, "does not match its hash"),
        ("format_version", 2, "format_version"),
        ("kind", "policy", "kind"),
        ("more", 1, "more: Extra inputs"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(copy, config, field, value, says):
    edit(copy, **{field: value})
    with pytest.raises(ClassifierError, match=says):
        load_classifier(copy, config)


def test_weights_that_were_changed_are_refused(copy, config):
    content = bytearray((copy / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (copy / WEIGHTS).write_bytes(content)
    with pytest.raises(ClassifierError, match="does not match its hash: damaged or exchanged"):
        load_classifier(copy, config)


def test_weights_that_are_not_finite_are_refused(copy, config):
    tensors = load_file(copy / WEIGHTS)
    tensors["layers.0.weight"][0, 0] = float("nan")
    save_file(tensors, copy / WEIGHTS)
    edit(copy, weights_sha256=hashlib.sha256((copy / WEIGHTS).read_bytes()).hexdigest())
    with pytest.raises(ClassifierError, match=r"layers\.0\.weight: must hold finite numbers"):
        load_classifier(copy, config)


@pytest.mark.parametrize("cut", [0, 3, 100])
@pytest.mark.parametrize("name", [MANIFEST, WEIGHTS])
def test_cut_files_are_refused(copy, config, name, cut):
    (copy / name).write_bytes((copy / name).read_bytes()[:cut])
    with pytest.raises(ClassifierError, match=name):
        load_classifier(copy, config)


def test_a_folder_that_is_no_classifier_is_refused(tmp_path, config):
    with pytest.raises(ClassifierError, match="there is no classifier here.*porl classifier train"):
        load_classifier(tmp_path / "nothing", config)
