"""Help, usage errors, exit codes."""

import pytest

from porl_ros import __version__


def test_help_begins_with_what_it_is_for(porl):
    said = porl("--help")
    assert said.code == 0
    assert "Start with porl demo" in said.out.replace("`", "")
    assert all(command in said.out for command in ("demo", "replay", "validate"))


def test_version(porl):
    assert porl("version") == (0, f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["demo", "--sede", "1"], "--sede"),
        (["fly"], "No such command 'fly'"),
        (["demos"], "--store"),
        (["demo", "--seed", "-1"], "--seed"),
        (["demos", "--store", "s", "--count", "0"], "--count"),
        (["evaluate"], "Missing argument"),
    ],
)
def test_wrong_usage_is_told_and_exits_with_2(porl, arguments, complaint):
    said = porl(*arguments)
    assert said.code == 2
    assert complaint in said.err
