"""Reading YAML into pydantic models, with errors that name the key, the value and the remedy."""

from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from porl_ros.errors import ConfigError


class StrictModel(BaseModel):
    """Immutable, and refuses keys it does not know: a typing error must never become a default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Model = TypeVar("Model", bound=BaseModel)
# Units of a hidden layer. Here, so that nodes that only read settings start without torch.
Width = Annotated[int, Field(gt=0, le=65_536)]


class _UniqueKeyLoader(yaml.SafeLoader):
    """YAML lets a key appear twice and keeps the last; in a robot config that is a mistake."""

    def construct_mapping(self, node, deep=False):
        seen = {}
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise ConfigError(
                    f"line {key_node.start_mark.line + 1}: key '{key}' stands twice "
                    f"(first on line {seen[key]}); remove one"
                )
            seen[key] = key_node.start_mark.line + 1
        return super().construct_mapping(node, deep)


def load_yaml(path: Path) -> dict:
    """Parse a YAML mapping; ConfigError when it cannot be read or is something else."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read as YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(
            f"{path}: must be a mapping of keys to values, is {type(content).__name__}"
        )
    return content


def parse(model: type[Model], content: dict, where: str) -> Model:
    """Validate `content`; all mistakes are reported at once, a line each."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(model, item, content) for item in error.errors()]
        raise ConfigError(f"{where}:\n  " + "\n  ".join(lines)) from None


def load_model(model: type[Model], path: Path) -> Model:
    """Read a YAML file into `model`; ConfigError names file, key, value and remedy."""
    return parse(model, load_yaml(path), str(path))


def _explain(model: type[BaseModel], item: dict, content: dict) -> str:
    key, value = _dotted(item["loc"], content), item["input"]
    if item["type"] == "extra_forbidden":
        name = str(item["loc"][-1])
        close = get_close_matches(name, sorted(_known_keys(model)), n=1)
        hint = f"did you mean '{close[0]}'?" if close else "remove it"
        return f"{key} = {_short(value)}: unknown key; {hint}"
    if item["type"] == "missing":
        return f"{key}: is required and not given"
    message = item["msg"].removeprefix("Value error, ")
    if isinstance(value, dict):  # a rule between several keys: the message names the value
        return f"{key}: {message}" if key else message
    return f"{key or 'file'} = {_short(value)}: {message}"


def _dotted(location: tuple, content: object) -> str:
    """The key as it stands in the file: pydantic adds the tag by which it chose a model."""
    text = ""
    for part in location:
        if isinstance(content, dict) and part not in content and part in content.values():
            continue
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            content = None
    return text.lstrip(".")


def _short(value: object, limit: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _known_keys(model: type[BaseModel]) -> set[str]:
    """Every key of a model and of the models inside it, for 'did you mean'."""
    schema = model.model_json_schema()
    objects = [schema, *schema.get("$defs", {}).values()]
    return {key for entry in objects for key in entry.get("properties", {})}
