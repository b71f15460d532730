"""What the sections of a robot config share: names, topics, vectors, the check for duplicates."""

from typing import Annotated

from pydantic import Field, FiniteFloat

Name = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$")]
Topic = Annotated[str, Field(pattern=r"^[A-Za-z~/][A-Za-z0-9_/{}~]*$")]
Vector3 = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


def require_unique(names: list[str] | tuple[str, ...], what: str) -> None:
    """ValueError that names the duplicates."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(
            f"{what} must be unique; {', '.join(twice)} stands more than once, rename or remove one"
        )


def require_order(lower: float, upper: float) -> None:
    """ValueError when a range is the wrong way round."""
    if lower >= upper:
        raise ValueError(f"lower ({lower}) must be under upper ({upper})")
