"""How good experts and bases are, before anything is fine-tuned.

    python -m benchmarks.finetuning.base_table [TASK ...]
    .venv-metaworld/bin/python -m benchmarks.finetuning.base_table mw_push mw_pick_place ...

Makes what is missing, prints the table, and adds to benchmarks/results/finetuning_bases.json.
Without names: every task that this environment can run.
"""

import json
import os
import sys
import time
from importlib.util import find_spec

import gymnasium
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.finetuning.episodes import evaluate
from benchmarks.finetuning.tasks import TASKS, Expert, Task
from benchmarks.machine import RESULTS, write_results

NAME = "finetuning_bases"
SEEDS, EPISODES = 5, 100
EXPERT_OFFSET = 500  # other episodes than those that judge a policy ...
TIMED_STEPS = 1500  # of random actions, resets included
HERE = "metaworld" if find_spec("metaworld") else "main"


def main() -> None:
    """Measure the tasks that are named, or all that can be run here."""
    os.nice(5)
    tasks = [TASKS[name] for name in sys.argv[1:]] or [
        task for task in TASKS.values() if task.requirements == HERE
    ]
    path = RESULTS / f"{NAME}.json"
    rows = json.loads(path.read_text())["tasks"] if path.is_file() else {}
    for task in tasks:
        rows[task.name] = measure(task)
        rows = {name: rows[name] for name in TASKS if name in rows}
        write_results(NAME, {"tasks": rows})
        print(task.name, rows[task.name]["base_success"], flush=True)
    Console(width=150).print(table(rows))
    print(path)


def measure(task: Task) -> dict:
    """Sizes, success of the expert in both cells and of every base, and speed."""
    env, used, shown = task.make(0), task.build(), task.build_demo()
    bases = [evaluate(env, task.base(seed).for_control(), EPISODES) for seed in range(SEEDS)]
    demos = [episode for seed in range(SEEDS) for episode in task.demos(seed)]
    return {
        "settings": task.settings,
        "observation": env.observation_space.shape[0],
        "action": env.action_space.shape[0],
        "expert_where_shown": _expert_success(shown, task.build_expert(shown)),
        "expert_where_used": _expert_success(used, task.build_expert(used)),
        "demonstrated_steps": float(np.mean([len(episode.rewards) for episode in demos])),
        "base_success": [round(float(base.mean()), 3) for base in bases],
        "mean_base_success": round(float(np.mean(bases)), 3),
        "env_steps_per_cpu_second": round(_speed(env)),
    }


def table(rows: dict) -> Table:
    """The rows for people."""
    title = f"success over {EPISODES} episodes; steps per second of CPU, resets included"
    columns = ("task", "horizon", "obs, act", "demos", "steps of a demo", "expert where shown")
    made = Table(
        *columns, "expert where used", "base, seeds 0 to 4", "mean", "steps/s", title=title
    )
    for name, row in rows.items():
        made.add_row(
            name,
            str(row["settings"]["horizon"]),
            f"{row['observation']}, {row['action']}",
            str(row["settings"]["demonstrations"]),
            f"{row['demonstrated_steps']:.0f}",
            f"{row['expert_where_shown']:.2f}",
            f"{row['expert_where_used']:.2f}",
            " ".join(f"{success:.2f}" for success in row["base_success"]),
            f"{row['mean_base_success']:.2f}",
            str(row["env_steps_per_cpu_second"]),
        )
    return made


def _expert_success(env: gymnasium.Env, expert: Expert) -> float:
    return float(evaluate(env, lambda observation: expert(), EPISODES, EXPERT_OFFSET).mean())


def _speed(env: gymnasium.Env) -> float:
    rng, size = np.random.default_rng(0), env.action_space.shape
    begin, ended = time.process_time(), True
    for _ in range(TIMED_STEPS):
        if ended:
            env.reset()
        action = rng.uniform(-1.0, 1.0, size).astype(np.float32)
        _, _, terminated, truncated, _ = env.step(action)
        ended = terminated or truncated
    return TIMED_STEPS / (time.process_time() - begin)


if __name__ == "__main__":
    main()
