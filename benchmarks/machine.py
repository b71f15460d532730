"""What a figure was measured on, and where the figures go."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path("benchmarks/results")


def machine() -> dict:
    """The machine, in a few words."""
    with open("/proc/cpuinfo") as file:
        model = next((line.split(":")[1].strip() for line in file if "model name" in line), "?")
    return {"cpu": model, "cores": os.cpu_count(), "python": platform.python_version()}


def write_results(name: str, results: dict, folder: Path = RESULTS) -> Path:
    """Write `results` with the machine and the time; returns the file."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.json"
    when = datetime.now(UTC).isoformat(timespec="seconds")
    content = {"benchmark": name, "when": when, "machine": machine(), **results}
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
