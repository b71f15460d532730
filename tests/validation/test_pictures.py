"""The learning curve and the film, or the sentence that says what is missing for it."""

import pytest
from PIL import Image

from porl_ros.validation import filming, video
from porl_ros.validation.evaluation import EVALUATION_SEED, EpisodeOutcome, Evaluation
from porl_ros.validation.plots import CurvePoint, plot_learning_curve


def test_the_curve_is_a_png(tmp_path):
    results = [Evaluation((EpisodeOutcome(0, ok, 10), EpisodeOutcome(1, True, 9))) for ok in (0, 1)]
    points = [CurvePoint(500 * i, i, result) for i, result in enumerate(results)]
    plot_learning_curve(points, 300, "a title", tmp_path / "curve.png")
    with Image.open(tmp_path / "curve.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 400


@pytest.mark.slow
def test_the_film_is_a_gif_or_the_remedy_is_named(tmp_path, base):
    gif = tmp_path / "comparison.gif"
    problem = video.render_comparison(
        "ur5e_insert", "shifted", base, base, EVALUATION_SEED, gif
    )  # fmt: skip
    if problem:
        assert problem.startswith("no video (")
        assert problem.endswith(video.REMEDY)
        assert not gif.exists()
        pytest.skip(problem)
    with Image.open(gif) as film:
        assert film.format == "GIF"
        assert film.size == (2 * filming.LARGE[0] + 4, filming.LARGE[1])
        assert film.n_frames > 10
        assert film.info["duration"] == 100


def test_without_a_gl_library_the_remedy_is_named_and_nothing_is_written(
    tmp_path, base, monkeypatch
):
    monkeypatch.setattr(video, "LIBRARIES", ("no_such_library",))
    gif = tmp_path / "comparison.gif"
    problem = video.render_comparison("ur5e_insert", "shifted", base, base, 0, gif)
    assert problem.startswith("no video (")
    assert "libegl1" in problem
    assert list(tmp_path.iterdir()) == []
