"""The report of a validation: what is shown, of what, and that nothing else is needed for it."""

import base64
import re

import numpy as np
import pytest
from gated import episode, make_record
from pages import Page
from PIL import Image

from porl_ros.simulation.scene import SceneConfig
from porl_ros.simulation.suite import Suite
from porl_ros.validation import video
from porl_ros.validation.evaluation import Evaluator
from porl_ros.validation.gate import Validation, suite_cases
from porl_ros.validation.measures import measure
from porl_ros.validation.record import Record
from porl_ros.validation.report.clips import film_worst
from porl_ros.validation.report.page import Clip, Films
from porl_ros.validation.report.randomisation import dependence, parts
from porl_ros.validation.report.validation_page import page, write_report


@pytest.fixture
def made(bundle, config):
    """Records whose episodes are those of the suite, as far as their cells are concerned."""
    suite = Suite.load(config.simulation.scene)
    around = SceneConfig.load(config.simulation.scene).variant(config.simulation.variant)
    cases = suite_cases(suite, around, bundle, "0" * 64)

    def make(succeeds, **changes) -> Record:
        episodes = tuple(
            episode(case.seed, bool(succeeds(case.cell)), nominal=case.nominal) for case in cases
        )
        of_suite = {"suite": suite.model_dump(mode="json"), "variant": around.model_dump()}
        return make_record(bundle, config, **{"episodes": episodes} | of_suite | changes)

    return make


def test_it_is_one_whole_file_and_whatever_is_said_in_it_is_text(bundle, config):
    episodes = tuple(
        episode(s, s % 3 > 0, contact_force=float(s), interventions={"velocity": 2}, intervened=2)
        for s in range(30)
    )
    odd = {"why": "<script>alert(1)</script>", "made_by": "a&b", "episodes": episodes}
    record = make_record(bundle, config, decision="refused", **odd)
    text = page(record)
    seen = Page(text)
    assert seen.open == seen.elsewhere == []
    assert "<script>" not in text
    assert "a&amp;b" in text
    assert seen.inside == ["image/svg+xml"] * 2
    for value in (*record.made.model_dump().values(), "60 of 900", "0.67", "REFUSED"):
        assert str(value) in seen.text
    assert seen.text.index("REFUSED") < seen.text.index("0.67")  # the verdict comes first
    worst = re.search(r"Worst episodes.*?<td>(\d+)</td>", text, re.DOTALL)
    assert worst[1] == "27"  # of those that failed the one with the highest force
    assert "Not filmed" in seen.text


@pytest.mark.slow
def test_the_parameter_that_matters_is_found_and_no_other(made):
    record = made(lambda cell: cell.latency < 0.026)
    found = dependence(record)
    assert "latency [ms] (1.00 where it is lowest, 0.00 where it is highest)" in found["said"]
    assert found["said"].count("where it is lowest") == 1
    assert found["picture"].startswith("data:image/svg+xml;base64,")
    assert "No parameter by itself" in dependence(made(lambda cell: True))["said"]


@pytest.mark.slow
def test_an_offset_counts_by_how_far_it_is_from_that_of_the_cell(made, config):
    around = SceneConfig.load(config.simulation.scene).variant(config.simulation.variant)

    def near(cell) -> bool:
        return np.linalg.norm(np.subtract(cell.estimate_offset, around.estimate_offset)) < 0.0012

    said = dependence(made(near))["said"]
    assert "offset of estimates [mm] (1.00 where it is lowest, 0.00 where it is highest)" in said


def test_parts_hold_every_episode_once_and_in_order():
    values, success = np.arange(23.0)[::-1], np.arange(23) % 2 == 0
    found = parts(values, success)
    assert [one.value for one in found] == sorted(one.value for one in found)
    assert len(found) == 4
    sizes = [6, 6, 6, 5]
    assert sum(n * one.success for n, one in zip(sizes, found, strict=True)) == success.sum()
    assert all(one.low <= one.success <= one.high for one in found)


def test_few_drawn_episodes_say_nothing(bundle, config):
    assert "Only 0 episodes" in dependence(make_record(bundle, config))["said"]


@pytest.mark.slow
def test_the_reference_is_shown_in_the_same_episodes(made):
    record = made(lambda cell: cell.latency < 0.03)
    reference = made(lambda cell: cell.latency < 0.02).model_copy(update={"bundle": "base"})
    drawn = [one for one in record.episodes if not one.nominal]
    seen = Page(page(record, reference)).text
    both = sum(one.success for one in reference.episodes)
    ours = sum(one.success for one in record.episodes) - both
    assert "base, version 0, in the same 200 episodes" in seen
    assert f"this policy succeeds {both} {ours} this policy fails 0" in seen
    assert ours > 10
    assert len(drawn) == 150
    assert "Beside the reference" not in Page(page(record)).text


def test_films_are_inside_and_for_paper_there_is_a_still(bundle, config):
    clips = (Clip("data:image/webp;base64,AA", "data:image/webp;base64,BB", "seed <7>"),)
    seen = Page(page(make_record(bundle, config), films=Films(clips, "one is missing")))
    assert seen.inside.count("image/webp") == 2
    assert "seed &lt;7&gt;" in seen.text
    assert "one is missing" in seen.text
    assert seen.elsewhere == []


def test_it_is_written_whole_or_not_at_all(tmp_path, bundle, config, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("the old one")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("no")))
    with pytest.raises(OSError, match="no"):
        write_report(path, make_record(bundle, config))
    assert path.read_text() == "the old one"
    assert not list(tmp_path.glob(".*"))


@pytest.mark.slow
def test_the_worst_episodes_are_filmed_as_they_were(tmp_path, base, config):
    around = SceneConfig.load(config.simulation.scene).variant(config.simulation.variant)
    suite = Suite.load(config.simulation.scene)
    weights = Validation("ur5e_insert", base, as_base=True)._made.weights_sha256
    cases = suite_cases(suite, around, base, weights)[:4]
    with Evaluator("ur5e_insert", workers=1) as evaluator:
        measured = list(evaluator.each(measure, cases))
    measured[1] = measured[1].model_copy(update={"steps": 1})  # it does not repeat
    record = make_record(
        base, config, episodes=tuple(measured), suite=suite.model_dump(mode="json"),
        variant=around.model_dump(mode="json"),
    )  # fmt: skip
    films = film_worst("ur5e_insert", base, record)
    if films.why_not.startswith("no video"):
        assert films.why_not.endswith(video.REMEDY)
        pytest.skip(films.why_not)
    assert len(films.clips) == 3
    assert f"Seed {measured[1].seed}" in films.why_not
    assert video.NOT_REPEATED in films.why_not
    for number, clip in enumerate(films.clips):
        film = tmp_path / f"{number}.webp"
        film.write_bytes(_content(clip.film))
        with Image.open(film) as opened:
            assert opened.n_frames > 5
        assert len(clip.film) < 300_000


def _content(uri: str) -> bytes:
    return base64.b64decode(uri.split(",")[1])


@pytest.mark.slow
def test_another_policy_than_was_judged_is_not_filmed(base, made):
    """An error that no OpenGL library would mend is told as what it is."""
    films = film_worst("ur5e_insert", base, made(lambda cell: False))
    if video.REMEDY in films.why_not:
        pytest.skip(films.why_not)
    assert films.clips == ()
    assert "was exchanged while it was being judged" in films.why_not
