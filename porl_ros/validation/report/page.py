"""What the reports share: one HTML file that needs nothing beside it, on a screen and on paper."""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

from porl_ros import __version__  # noqa: E402

_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
# Letters as outlines, so that a page looks alike everywhere; no dates, so that it can be compared.
_STYLE = {"svg.fonttype": "path", "svg.hashsalt": "porl_ros", "font.size": 9}


class Clip(NamedTuple):
    """A short film of an episode, its last picture for paper, and what it shows."""

    film: str  # data URIs
    still: str
    caption: str


class Films(NamedTuple):
    """What could be filmed, and why there is not more; empty if there is nothing to say."""

    clips: tuple[Clip, ...] = ()
    why_not: str = ""


class Table(NamedTuple):
    """Cells are texts, which are escaped, or (text, tone) with a tone of the style sheet."""

    header: Sequence[str]
    rows: Sequence[Sequence[str | tuple[str, str]]]


def render(template: str, **content: object) -> str:
    """The page; whatever text is put into it is escaped."""
    return _TEMPLATES.get_template(template).render(version=__version__, **content)


def data_uri(content: bytes, kind: str) -> str:
    """`kind`: the MIME type."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def picture(figure) -> str:
    """A figure as a data URI, in vectors; closes it."""
    content = io.BytesIO()
    with plt.rc_context(_STYLE):
        figure.savefig(content, format="svg", metadata={"Date": None}, bbox_inches="tight")
    plt.close(figure)
    return data_uri(content.getvalue(), "image/svg+xml")


def axes_of(columns: int = 1, rows: int = 1, height: float = 2.4):
    """A figure as wide as the page, and its axes in a flat list."""
    figure, axes = plt.subplots(rows, columns, figsize=(8.2, height * rows), squeeze=False)
    figure.subplots_adjust(wspace=0.32, hspace=0.55)
    for one in axes.flat:
        one.grid(alpha=0.25)
        one.spines[["top", "right"]].set_visible(False)
    return figure, list(axes.flat)
