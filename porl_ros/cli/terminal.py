"""What the `porl replay` commands show themselves with."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from porl_ros.errors import PorlError

lines = Console(highlight=False, soft_wrap=True)  # sentences: as wide as they are
tables = Console()


def table_of(name: str, *others: str) -> Table:
    """Names may be long and are folded; what is beside them is not."""
    columns = [Column(other, no_wrap=True) for other in others]
    return Table(Column(name, overflow="fold"), *columns, show_lines=True)


def table_of_values(name: str, *others: str) -> Table:
    """The values beside the names may be long, as hashes are, and are folded; the names are not."""
    columns = [Column(other, overflow="fold") for other in others]
    return Table(Column(name, no_wrap=True), *columns, show_lines=True)


def progress() -> Progress:
    """A bar for people; where nobody looks there is none."""
    terminal = Console(stderr=True)
    return Progress(console=terminal, transient=True, disable=not terminal.is_terminal)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """What the file system refuses is told as any other error."""
    try:
        yield
    except OSError as error:
        raise PorlError(
            f"{error.filename or path}: {error.strerror or error}; make it readable for this user, "
            "or free the disk"
        ) from error
