"""What the pages of the reference share: tables in Markdown, and JSON schemas in words."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

UNIT = re.compile(r"\s*\[([^\[\]]+)\]$")  # at the end of a description
LOW = {"minimum": "{:.12g}", "exclusiveMinimum": "over {:.12g}"}
HIGH = {"maximum": "{:.12g}", "exclusiveMaximum": "under {:.12g}"}
PLAIN = {
    "number": "number",
    "integer": "integer",
    "boolean": "true or false",
    "string": "text",
    "null": "null",
    "object": "section",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> list[str]:
    """Lines of a table in Markdown."""
    head = list(head)
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def allowed(schema: Mapping[str, Any]) -> str:
    """Range or choices of a value, empty where any will do. Of an optional value: unless null."""
    low = [text.format(schema[key]) for key, text in LOW.items() if key in schema]
    high = [text.format(schema[key]) for key, text in HIGH.items() if key in schema]
    if low and high:
        return f"{low[0]} to {high[0]}"
    if low:
        return low[0] if low[0].startswith("over") else f"{low[0]} or more"
    if "const" in schema:
        return schema["const"]
    if "items" in schema or "prefixItems" in schema:
        each = allowed(schema.get("items") or schema["prefixItems"][0])
        return f"each {each}" if each else ""
    options = map(allowed, schema.get("anyOf", ()))
    return ", ".join(schema.get("enum", [])) or next(filter(None, options), "")


def type_of(schema: Mapping[str, Any]) -> str:
    """The type of a value, in words."""
    if "anyOf" in schema:
        return " or ".join(type_of(option) for option in schema["anyOf"])
    if "prefixItems" in schema:
        return f"{len(schema['prefixItems'])} {type_of(schema['prefixItems'][0])}s"
    if "items" in schema:
        each = type_of(schema["items"])
        return f"list of {each}" if each.endswith("s") else f"list of {each}s"
    if "patternProperties" in schema or isinstance(schema.get("additionalProperties"), Mapping):
        return "sections by name"
    if schema.get("format") == "path":
        return "path"
    return PLAIN[schema.get("type", "object")]


def split_unit(description: str) -> tuple[str, str]:
    """The description without the unit in brackets at its end, and the unit."""
    found = UNIT.search(description)
    return (description[: found.start()], found[1]) if found else (description, "")
