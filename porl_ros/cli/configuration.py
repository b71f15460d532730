"""Every key of the YAML files, as Markdown: robot configs, scenes, settings of the learner."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from porl_ros.cli.reference import allowed, split_unit, table, type_of
from porl_ros.configfile import StrictModel
from porl_ros.learning.config import PorlConfig
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.scene import SceneConfig

INTRO = """\
# Configuration

Made by `porl params --configuration`; a test compares. Every key of the YAML files, with its type,
unit, range and default; other keys are refused. How they go together is told by the comments of
[a robot config](../robot_configs/ur5e_insert.yaml) and [a scene](../sim/ur5e_insert.yaml), and by
[bring-your-robot.md](bring-your-robot.md). Parameters of nodes: [parameters.md](parameters.md).
"""
FILES: dict[str, tuple[type[StrictModel], str]] = {
    "Robot config": (RobotConfig, "`robot_configs/*.yaml`, and yours."),
    "Scene": (SceneConfig, "`sim/*.yaml`: the cell in MuJoCo in which a robot is stood in for."),
    "Learner": (
        PorlConfig,
        "What `learner_config` and `--learner-config` name; each key is also a parameter of the "
        "finetune node. Origins of the defaults: (m) measured, see [algorithm.md](algorithm.md); "
        "(w) WSRL's public code; (c) common practice.",
    ),
}
HEAD = ("key", "type", "unit", "allowed", "default", "meaning")


class Key(NamedTuple):
    """One key of a section."""

    name: str
    schema: Mapping[str, Any]
    required: bool

    @property
    def row(self) -> tuple[str, ...]:
        """As HEAD."""
        meaning, unit = split_unit(self.schema.get("description", self.otherwise))
        choices = allowed(self.schema)
        return f"`{self.name}`", type_of(self.schema), unit, choices, self.default, meaning

    @property
    def otherwise(self) -> str:
        """The meaning of what has no description: sections have one of their own."""
        if "const" in self.schema:
            return "says that it is of this kind"
        return "see below" if any(_inner(self.schema)) else ""

    @property
    def default(self) -> str:
        """What counts when it is not given."""
        if self.required:
            return "required"
        default = self.schema["default"]
        return "as below" if isinstance(default, dict) else f"`{json.dumps(default)}`"


class Section(NamedTuple):
    """A mapping of the file: where it stands, what it is, its keys."""

    path: str
    about: str
    keys: list[Key]


def as_markdown() -> str:
    """All files, section by section."""
    parts = [INTRO]
    for title, (model, about) in FILES.items():
        parts += [f"\n## {title}\n", about]
        for section in sections(model):
            heading = [f"\n### {title}: {section.path}\n", f"{section.about}\n"]
            parts += heading if section.path else [""]
            parts += table(HEAD, (key.row for key in section.keys))
    return "\n".join(parts) + "\n"


def sections(model: type[StrictModel]) -> Iterator[Section]:
    """Of a file, from the outside in; one that stands in several places comes once."""
    schema = model.model_json_schema()
    yield from _walk("", schema, schema.get("$defs", {}), set())


def _walk(path: str, schema: Mapping, defs: Mapping, seen: set[str]) -> Iterator[Section]:
    required = schema.get("required", ())
    keys = [Key(name, of, name in required) for name, of in schema.get("properties", {}).items()]
    # A section that is one of several kinds says which in a key that has one value only.
    keys.sort(key=lambda key: "const" not in key.schema)
    kind = [f" with `{k.name}: {k.schema['const']}`" for k in keys if "const" in k.schema]
    about = " ".join(schema["description"].split())
    yield Section(f"`{path}`{''.join(kind)}" if path else "", about, keys)
    for key in keys:
        for suffix, name in _inner(key.schema):
            if name not in seen:
                seen.add(name)
                place = f"{path}.{key.name}{suffix}".lstrip(".")
                yield from _walk(place, defs[name], defs, seen)


def _inner(schema: Mapping) -> Iterator[tuple[str, str]]:
    """The models that a key may hold, each with what has to be added to the path."""
    if "$ref" in schema:
        yield "", schema["$ref"].rpartition("/")[2]
    for option in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from _inner(option)
    named = schema.get("additionalProperties")
    named = [named] if isinstance(named, Mapping) else []
    for option in (*named, *schema.get("patternProperties", {}).values()):
        yield from ((f".NAME{suffix}", name) for suffix, name in _inner(option))
    if "items" in schema:
        yield from ((f"[]{suffix}", name) for suffix, name in _inner(schema["items"]))
