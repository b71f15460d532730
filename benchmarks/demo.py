"""The demo over several seeds, with and without the pre-sample stage; resumes where it stopped.

    python -m benchmarks demo            # six runs of two to three minutes each on two idle cores

A run that has finished already (its summary says so) is not made again.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.machine import write_results

SEEDS = (0, 1, 2)
RUNS = Path("runs/benchmark-demo")
KEPT = ("seed", "presample", "base_success", "base_interval", "base_success_on_curve")
KEPT += ("lowest_success", "lowest_at_step", "final_success", "final_interval", "final_episodes")
KEPT += ("env_steps", "gradient_steps", "utd", "episodes", "wall_clock_s", "curve")


def main() -> None:
    """Print the table, write benchmarks/results/demo.json."""
    summaries = [_summary(seed, presample) for presample in (True, False) for seed in SEEDS]
    columns = ("pre-sample", "seed", "base", "base on curve", "lowest", "final", "time [s]")
    table = Table(*columns, title="success; lowest is over evaluations every 250 steps")
    for summary in summaries:
        table.add_row(
            "yes" if summary["presample"] else "no",
            str(summary["seed"]),
            f"{summary['base_success']:.2f}",
            f"{summary['base_success_on_curve']:.2f}",
            f"{summary['lowest_success']:.2f} at {summary['lowest_at_step']}",
            f"{summary['final_success']:.2f}",
            f"{summary['wall_clock_s']:.0f}",
        )
    Console().print(table)
    print(write_results("demo", {"runs": [{key: s[key] for key in KEPT} for s in summaries]}))


def _summary(seed: int, presample: bool) -> dict:
    folder = RUNS / f"seed{seed}{'' if presample else '-no-presample'}"
    path = folder / "summary.json"
    if not path.exists() or json.loads(path.read_text())["status"] != "finished":
        shutil.rmtree(folder, ignore_errors=True)  # half a run of an earlier sitting
        command = [sys.executable, "-m", "porl_ros.cli", "demo", "--seed", str(seed)]
        command += ["--output", str(folder), "--presample" if presample else "--no-presample"]
        subprocess.run([*command, "--video" if presample else "--no-video"], check=True)
    return json.loads(path.read_text())


if __name__ == "__main__":
    main()
