"""One run: a task, a method and a seed, from the base policy to a result file.

    python -m benchmarks.finetuning.run ur5e_insert porl 0 --steps 5000 --output FILE.json

Prints a line of JSON per evaluation. An interrupted run leaves nothing and begins again.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import numpy as np
import torch
import typer

from benchmarks.finetuning.bases import RUNS
from benchmarks.finetuning.curves import evaluation_steps, has_held, lowest
from benchmarks.finetuning.episodes import Policy, evaluate
from benchmarks.finetuning.loop import Learner
from benchmarks.finetuning.methods import Method, find
from benchmarks.finetuning.results import STANDARD, Cell, Judging, write
from benchmarks.finetuning.tasks import TASKS, Task

Watch = Callable[[int, float], None]  # environment step, success


class Run:
    """A learner driven from evaluation to evaluation."""

    def __init__(
        self, task: Task, method: Method, seed: int, steps: int, judging: Judging = STANDARD
    ):
        with _alone(task, seed):
            self._base = task.base(seed)
        self._steps, self._judging = steps, judging
        self._judge = task.make(seed)
        self.learner: Learner = method.make(task, task.make(seed), self._base, seed, steps)
        self.curve = {key: [] for key in ("env_steps", "success", "gradient_steps", "wall_clock_s")}
        self._policies: list[Policy] = []
        self.learning_s = self.learning_cpu_s = self.evaluation_cpu_s = 0.0

    def go(self, watch: Watch = lambda step, success: None) -> dict:
        """Learn and evaluate to the end; what is to be kept of it, JSON-able."""
        updates = -1
        for step in evaluation_steps(self._steps, self.learner.updates_begin):
            self._advance(step)
            unchanged, updates = updates == self.learner.actor_updates, self.learner.actor_updates
            self._evaluate(step, unchanged)
            watch(step, self.curve["success"][-1])
            if has_held(self.curve["env_steps"], self.curve["success"]):
                break
        return self._result()

    def _advance(self, step: int) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        self.learner.advance(step)
        self.learning_s += time.perf_counter() - wall
        self.learning_cpu_s += time.process_time() - cpu

    def _evaluate(self, step: int, unchanged: bool) -> None:
        """Add a point to the curve; a policy that is what it was is not evaluated again."""
        curve, policy = self.curve, self.learner.policy()
        success = curve["success"][-1] if unchanged else float(self._succeeded(policy).mean())
        values = step, success, self.learner.gradient_steps, round(self.learning_s, 2)
        for column, value in zip(curve.values(), values, strict=True):
            column.append(value)
        self._policies.append(policy)

    def _succeeded(self, policy: Policy, fresh: bool = False) -> np.ndarray:
        cpu = time.process_time()
        usual = self._judging.episodes
        episodes = (self._judging.fresh, usual) if fresh else (usual, 0)
        outcome = evaluate(self._judge, policy, *episodes)
        self.evaluation_cpu_s += time.process_time() - cpu
        return outcome

    def _result(self) -> dict:
        curve, begin = self.curve, self.learner.updates_begin
        base = self._succeeded(self._base.for_control(), fresh=True)
        final = self._succeeded(self._policies[-1], fresh=True)
        result = {
            "updates_begin": begin,
            "stopped": curve["env_steps"][-1] < self._steps,
            "env_steps": curve["env_steps"][-1],
            "gradient_steps": self.learner.gradient_steps,
            "base": float(base.mean()),
            "final": float(final.mean()),
            "dip": self._dip(base),
        }
        for key in ("learning_s", "learning_cpu_s", "evaluation_cpu_s"):
            result[key] = round(getattr(self, key), 1)
        return result | {"curve": curve}

    def _dip(self, base: np.ndarray) -> dict | None:
        """The lowest point of the curve after updates begin against the base, both on the fresh
        episodes: a point that was lowest by chance is judged again by others."""
        index = lowest(self.curve["env_steps"], self.curve["success"], self.learner.updates_begin)
        if index is None:
            return None
        success = self._succeeded(self._policies[index], fresh=True)
        difference = success.astype(float) - base
        return {
            "env_step": self.curve["env_steps"][index],
            "success": float(success.mean()),
            "change": float(difference.mean()),
            "standard_error": float(difference.std(ddof=1) / len(difference) ** 0.5),
        }


@contextmanager
def _alone(task: Task, seed: int) -> Iterator[None]:
    """Hold the lock of this task and seed: its base is made once, whoever else needs it too."""
    RUNS.mkdir(parents=True, exist_ok=True)
    with open(RUNS / f"{task.name}-{seed}.lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main(
    task: str, method: str, seed: int,
    steps: Annotated[int, typer.Option()], output: Annotated[Path, typer.Option()],
    episodes: int = STANDARD.episodes, fresh: int = STANDARD.fresh,
) -> None:  # fmt: skip
    """One run, in this process."""
    os.nice(10)
    torch.set_num_threads(1)
    say, begin = _private_output(), time.perf_counter()
    judging = Judging(episodes, fresh)
    run = Run(TASKS[task], find(method), seed, steps, judging)
    result = run.go(lambda step, success: print(json.dumps([step, success]), file=say, flush=True))
    seconds = {"wall_clock_s": round(time.perf_counter() - begin, 1)}
    seconds["cpu_s"] = round(time.process_time(), 1)
    write(output, Cell(task, method, seed), judging, steps, seconds | result)


def _private_output() -> IO[str]:
    """The standard output for this program alone; what libraries print goes to the errors."""
    ours = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return ours


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
