"""`porl report`: which report, of what, and every wrong use of it."""

import shutil
from pathlib import Path

import pytest
from gated import admit, make_record
from pages import Page

from porl_ros.validation.record import report_path


@pytest.fixture(autouse=True)
def _own_site(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("PORL_SITE_KEY", str(tmp_path / "site" / "site.key"))


@pytest.fixture
def bundle(tmp_path, base) -> Path:
    return shutil.copytree(base, tmp_path / "policy")


def test_a_validation_is_reported_once_more(porl, bundle, config):
    admit(bundle, config)
    said = porl("report", bundle, "--no-video")
    assert said.code == 0, said
    assert str(report_path(bundle)) in said.out.replace("\n", "")
    assert "ADMITTED" in Page(report_path(bundle).read_text()).text


def test_whoever_does_not_wait_for_the_films_gets_it_without(porl, bundle, config, monkeypatch):
    def ctrl_c(*_):
        raise KeyboardInterrupt

    admit(bundle, config)
    monkeypatch.setattr("porl_ros.cli.validate.film_worst", ctrl_c)
    assert porl("report", bundle).code == 130
    shown = Page(report_path(bundle).read_text())
    assert "Not filmed" in shown.text
    assert shown.open == []


def test_only_what_it_was_compared_with_is_shown_beside_it(porl, tmp_path, bundle, config):
    base = shutil.copytree(bundle, tmp_path / "base")
    weights = make_record(base, config).made.weights_sha256
    admit(base, config)
    admit(bundle, config)
    line = porl.fails("report", bundle, "--reference", base)
    assert f"{base}: is not what policy was compared with (nothing)" in line
    admit(bundle, config, reference=weights)
    assert porl("report", bundle, "--reference", base, "--no-video").code == 0
    assert "Beside the reference" in Page(report_path(bundle).read_text()).text


def test_mistakes_are_told(porl, tmp_path, bundle, config):
    assert "has no run.json, so it is not the output" in porl.fails("report", tmp_path / "nowhere")
    assert "there is no record of a validation" in porl.fails("report", bundle)
    admit(bundle, config)
    line = porl.fails("report", bundle, "--store", tmp_path)
    assert "is a policy bundle, which has no --store" in line
    line = porl.fails("report", tmp_path, "--reference", bundle)
    assert "is no policy bundle, so it was compared with no --reference" in line
    (bundle.parent / f"{bundle.name}.admission.json").write_text("{}")
    assert "is damaged; validate again" in porl.fails("report", bundle)
    assert not report_path(bundle).exists()
