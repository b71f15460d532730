"""Every command with its arguments and options, and the exit codes, as Markdown.

Commands and parameters are click's, of which some versions of typer bring their own.
"""

from collections.abc import Iterator
from typing import Any

from porl_ros.cli.exit_codes import ExitCode
from porl_ros.cli.reference import table

INTRO = """\
# Commands and exit codes

Made by `porl params --commands`; a test compares. Every command says the same with `--help`.
`porl --install-completion` teaches a shell to complete them.
"""
HEAD = ("argument or option", "default", "meaning")


def as_markdown(porl: Any) -> str:
    """The exit codes, then command by command."""
    codes = ((f"`{code.value}`", code.meaning) for code in ExitCode)
    parts = [INTRO, "## Exit codes\n", *table(("code", "meaning"), codes)]
    for name, command in commands(porl, "porl"):
        parts += [f"\n## {name}\n", command.help]
        if command.params:
            parts += ["", *table(HEAD, map(_row, command.params))]
    return "\n".join(parts) + "\n"


def commands(group: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command that does something, by its full name."""
    for part, command in group.commands.items():
        full = f"{name} {part}"
        if hasattr(command, "commands"):
            yield from commands(command, full)
        else:
            yield full, command


def _row(param: Any) -> tuple[str, str, str]:
    is_argument = param.param_type_name == "argument"
    names = [param.name.upper()] if is_argument else [*param.opts, *param.secondary_opts]
    told = ", ".join(f"`{name}`" for name in names)
    default = "required" if param.required else _default(param.default)
    return told, default, (getattr(param, "help", None) or "").replace("<", "&lt;")


def _default(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None or value == "" else f"`{value}`"
