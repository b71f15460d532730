"""README and docs: their commands, launch arguments, parameters and links are real; what is made
from the code is up to date."""

import re
import shlex
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest
import typer
import yaml

from porl_ros.cli import commands, configuration
from porl_ros.cli.main import app
from porl_ros.nodes.bringup import description, several
from porl_ros.nodes.settings import SETTINGS, settings_of

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PORL = typer.main.get_command(app)
INLINE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def tool(name: str) -> ModuleType:
    """A script of tools/, as a module."""
    loader = SourceFileLoader(name.replace("-", "_"), str(ROOT / "tools" / name))
    module = module_from_spec(spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


TRY_DOCS = tool("try-docs")


def blocks(page: Path) -> Iterator[str]:
    """The lines of its code blocks, whatever their language."""
    for block in TRY_DOCS.FENCE.finditer(page.read_text()):
        yield from TRY_DOCS.lines(block["body"])


def prose(page: Path) -> str:
    """What is in no code block."""
    return TRY_DOCS.FENCE.sub("", page.read_text())


def inline(page: Path) -> list[str]:
    """The code in its sentences."""
    return INLINE.findall(prose(page))


def words(line: str, command: str) -> list[str] | None:
    """What follows a command that the line begins with, without remarks and where output goes."""
    found = re.match(rf"(?:\$ |- run: )?(?:\S+/bin/)?{command} (.*)", line)
    if not found:
        return None
    told = shlex.split(found[1].split(" > ")[0].split(" | ")[0], comments=True)
    return [word for word in told if word != "..."]


def every(command: str, lines) -> list:
    """Each use of a command in the pages: page and words, shown by pytest as they stand there."""
    uses = ((page, words(line, command)) for page in PAGES for line in lines(page))
    found = [(page, said) for page, said in uses if said]
    return [pytest.param(page, said, id=f"{page.name}: {' '.join(said)}") for page, said in found]


def leaf(said: list[str]) -> tuple[object, list[str]]:
    """The command that is meant, and what is left for it."""
    command = PORL
    while said and hasattr(command, "commands") and not said[0].startswith("-"):
        assert said[0] in command.commands, f"no such command: {said[0]}"
        command, said = command.commands[said[0]], said[1:]
    return command, said


@pytest.mark.parametrize(("page", "said"), every("porl", blocks))
def test_commands_parse(page, said):
    command, rest = leaf(said)
    if "--help" not in rest:
        command.make_context("porl", rest)  # raises what a user would be told


@pytest.mark.parametrize(("page", "said"), every("porl", inline))
def test_commands_in_sentences_exist(page, said):
    command, rest = leaf([word for word in said if word.isascii()])
    known = {name for param in command.params for name in (*param.opts, *param.secondary_opts)}
    assert {word for word in rest if word.startswith("-")} <= known | {"--help"}


def bringup_of(launch_file: str) -> type[description.Arguments]:
    """What a launch file describes."""
    name = re.search(r"describe\((\w+)\)", (ROOT / "launch" / launch_file).read_text())[1]
    return getattr(description, name, None) or getattr(several, name)


@pytest.mark.parametrize(("page", "said"), every("ros2 launch porl_ros", blocks))
def test_launch_arguments_are_taken(page, said):
    launch_file, *rest = said
    given = dict(word.split(":=", 1) for word in rest if word not in ("-s", "--show-args"))
    bringup = bringup_of(launch_file)
    assert given.keys() <= bringup.model_fields.keys() | description.LaunchArguments.model_fields
    bringup.parse(given)
    description.LaunchArguments.parse(given)


@pytest.mark.parametrize(("page", "said"), every("ros2 param (?:set|get|describe)", blocks))
def test_parameters_exist(page, said):
    node, name = said[0].split("/")[-1], said[1]
    assert name in {setting.name for setting in settings_of(SETTINGS[node]())}


@pytest.mark.parametrize(("page", "said"), every("make", blocks))
def test_targets_exist(page, said):
    assert re.search(rf"^{said[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


RUNNABLE = re.compile(r"((\.venv/bin/)?porl |make |pytest |export |[A-Z_]+=)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_is_run_or_says_why_not(page):
    """By tools/try-docs. What is no command has a language, `text` if no other."""
    assert page in TRY_DOCS.PAGES
    for block in TRY_DOCS.blocks(page):
        for command in () if block.mark else block.commands:
            assert RUNNABLE.match(command), f"{command}: mark it, or say the block's language"
        for path in re.findall(r"\b(?:tests|tools|docs)/[\w/.-]+\w", block.why):
            assert (ROOT / path).exists(), path


def anchor(heading: str) -> str:
    """As GitHub and MkDocs both make it, for the headings that we write."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in LINK.findall(prose(page)):
        if link.startswith("http"):
            continue
        path, _, part = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        if part:
            anchors = [anchor(h) for h in HEADING.findall(prose(target))]
            assert part in anchors, f"{link}: no such heading"


@pytest.mark.parametrize(
    ("name", "made"),
    [("configuration", configuration.as_markdown()), ("commands", commands.as_markdown(PORL))],
)
def test_the_reference_is_up_to_date(name, made):
    assert (ROOT / "docs" / f"{name}.md").read_text() == made, f"porl params --{name}"


@pytest.mark.parametrize("title", configuration.FILES)
def test_every_key_has_a_meaning(title):
    for section in configuration.sections(configuration.FILES[title][0]):
        assert section.about
        assert all(key.row[-1] for key in section.keys), section


def test_the_site_has_every_page():
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    listed = [page for part in nav for page in _leaves(part)]
    assert sorted(listed) == sorted(page.name for page in PAGES)


def _leaves(part: str | list | dict) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    else:
        for inner in part.values() if isinstance(part, dict) else part:
            yield from _leaves(inner)
