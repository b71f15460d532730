"""What a test might leave behind."""

from pathlib import Path


def processes_of(folder: Path) -> list[str]:
    """Command lines of all processes that were given something in this folder."""
    lines = (_read(path).replace("\0", " ") for path in Path("/proc").glob("[0-9]*/cmdline"))
    return [line for line in lines if str(folder) in line]


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # the process has ended meanwhile
        return ""
