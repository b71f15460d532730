"""`porl demo`: the whole circle from one command."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import yaml
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from porl_ros.cli.base_policy import clone_policy, record
from porl_ros.cli.report import report_run
from porl_ros.errors import PorlError
from porl_ros.learning.bc import BcConfig
from porl_ros.learning.config import PorlConfig
from porl_ros.nodes.bringup.description import SimulationBringup
from porl_ros.nodes.bringup.processes import NodeProcesses
from porl_ros.nodes.graph import private_domain
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.paths import require_empty_or_missing
from porl_ros.policy.bundle import load_bundle
from porl_ros.robot.loading import load_robot
from porl_ros.validation.evaluation import EVALUATION_SEED, Evaluation, Evaluator
from porl_ros.validation.plots import CurvePoint, plot_learning_curve
from porl_ros.validation.video import render_comparison

DEMONSTRATIONS, DEMONSTRATION_NOISE = 10, 0.2
CURVE_EPISODES, CURVE_EVERY = 40, 250  # the same seeds for every bundle on the curve
FINAL_EPISODES = 100  # others, for base and result
HOME_CELL = "calibrated"  # where the policy is cloned

console = Console()


class Demo:
    """One run: base policy, fine-tuning through the nodes, evaluation, pictures, summary."""

    def __init__(
        self, robot: str, seed: int, output: Path | None, presample: bool,
        learner_config: Path | None, video: bool, device: str,
    ):  # fmt: skip
        self._robot, self._seed, self._video, self._device = robot, seed, video, device
        self._config = load_robot(robot)
        settings = PorlConfig.load(learner_config)
        self._settings = settings if presample else settings.without_presample()
        self._run = output or Path("runs") / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        require_empty_or_missing(self._run, "run")
        self._learner: dict = {}
        self._started = time.monotonic()

    def run(self) -> None:
        """Do all of it. Ctrl-C leaves what there is, and a summary that says so."""
        self._run.mkdir(parents=True, exist_ok=True)
        console.print(f"[bold]porl demo[/], seed {self._seed} -> {self._run}")
        try:
            self._make_base()
            self._fine_tune()
            self._judge()
        except KeyboardInterrupt:
            self._write_summary({"status": "interrupted"})
            console.print(f"interrupted; what there is lies in {self._run}")
            raise
        except PorlError:
            self._write_summary({"status": "failed"})
            raise

    def _make_base(self) -> None:
        console.print(
            f"\n[bold]1. Base policy[/]: {DEMONSTRATIONS} demonstrations in the {HOME_CELL} cell"
        )
        demos = self._run / "demos"
        record(self._robot, HOME_CELL, DEMONSTRATIONS, DEMONSTRATION_NOISE, self._seed, demos)
        std = self._settings.exploration_std
        clone_policy(self._robot, demos, self._base, BcConfig().epochs, std, self._seed)

    def _fine_tune(self) -> None:
        console.print(
            f"\n[bold]2. Fine-tuning[/] in the {self._config.simulation.variant} cell: "
            "policy, fine-tuning and simulation nodes, in lock-step over DDS"
        )
        private_domain()
        learner_yaml = self._run / "learner.yaml"
        learner_yaml.write_text(
            yaml.safe_dump(self._settings.model_dump(mode="json"), sort_keys=False)
        )
        bringup = SimulationBringup(
            robot_config=self._robot, bundle=str(self._base), store=str(self._run / "store"),
            output=str(self._run / "learner"), learner_config=str(learner_yaml),
            device=self._device, seed=self._seed,
        )  # fmt: skip
        with NodeProcesses(bringup.nodes(), self._run / "nodes") as nodes, Monitor() as monitor:
            self._follow(nodes, monitor)

    def _follow(self, nodes: NodeProcesses, monitor: Monitor) -> None:
        """Show progress until the learner has finished; ProcessDied when a node is gone."""
        shown = 0
        with _progress_bar() as bar:
            task = bar.add_task("starting the nodes", total=self._settings.total_steps, info="")
            while not self._learner.get("finished"):
                monitor.spin(0.25)
                nodes.check()
                if not monitor.learner:
                    continue
                self._learner = monitor.learner
                steps = int(self._learner["env_steps"])
                text, info = _describe(self._learner, monitor.policy_version)
                bar.update(task, description=text, info=info, completed=steps)
                if not console.is_terminal and steps >= shown:
                    console.print(f"  {steps:5d} steps, {text}, {info}")
                    shown += 500

    def _judge(self) -> None:
        bundles = _curve_bundles(sorted((self._run / "learner" / "bundles").iterdir()))
        console.print(f"\n[bold]3. Evaluation[/]: base and {len(bundles)} bundles, no exploration")
        curve_seeds = range(EVALUATION_SEED, EVALUATION_SEED + CURVE_EPISODES)
        final_seeds = range(EVALUATION_SEED + 10_000, EVALUATION_SEED + 10_000 + FINAL_EPISODES)
        ends = [self._base, bundles[-1]]
        with Evaluator(self._robot) as evaluator, _progress_bar() as bar:
            total = (len(bundles) + 1) * CURVE_EPISODES + len(ends) * FINAL_EPISODES
            task = bar.add_task("evaluating", total=total, info="episodes")
            on_curve = evaluator.evaluate_all(
                [self._base, *bundles], curve_seeds, lambda done: bar.update(task, completed=done)
            )
            base, final = evaluator.evaluate_all(ends, final_seeds)
            bar.update(task, completed=total)
        manifests = [load_bundle(path).manifest for path in bundles]
        points = [CurvePoint(self._settings.presample_steps, 0, on_curve[0])]
        points += [
            CurvePoint(m.env_steps, m.version, e)
            for m, e in zip(manifests, on_curve[1:], strict=True)
        ]
        self._report(points, base, final, bundles[-1])

    def _report(
        self, points: list[CurvePoint], base: Evaluation, final: Evaluation, result: Path
    ) -> None:
        lowest = min(points[1:], key=lambda point: point.evaluation.success)
        plot_learning_curve(
            [points[0]._replace(env_steps=0), *points], self._settings.presample_steps,
            f"{self._config.name}, seed {self._seed}: {CURVE_EPISODES} fixed episodes a point",
            self._run / "curve.png",
        )  # fmt: skip
        if self._video:
            self._film(base, final, result)
        seconds = time.monotonic() - self._started
        self._write_summary({
            "status": "finished",
            "base_success": base.success,
            "base_interval": base.interval,
            "final_success": final.success,
            "final_interval": final.interval,
            "final_episodes": len(final.episodes),
            "base_success_on_curve": points[0].evaluation.success,
            "lowest_success": lowest.evaluation.success,
            "lowest_at_step": lowest.env_steps,
            "curve": [[p.env_steps, p.version, p.evaluation.success] for p in points],
            "curve_episodes": CURVE_EPISODES,
            "steps_to_success": [base.steps_to_success, final.steps_to_success],
            "base_bundle": str(self._base),
            "final_bundle": str(result),
            "wall_clock_s": round(seconds, 1),
        })  # fmt: skip
        console.print(self._table(points, base, final, seconds))
        report = report_run(self._run, None, None, self._video)
        console.print(f"look at {report}; beside it summary.json, curve.png, comparison.gif")

    def _film(self, base: Evaluation, final: Evaluation, result: Path) -> None:
        pairs = zip(base.episodes, final.episodes, strict=True)
        seed = next(
            (b.seed for b, f in pairs if f.success and not b.success), base.episodes[0].seed
        )
        gif = self._run / "comparison.gif"
        with console.status("rendering"):
            problem = render_comparison(
                self._robot, self._config.simulation.variant, self._base, result, seed, gif
            )
        if problem:
            console.print(f"[yellow]{problem}[/]")

    def _table(
        self, points: list[CurvePoint], base: Evaluation, final: Evaluation, seconds: float
    ) -> Table:
        table = Table("", "base", "fine-tuned", title="\nResult")
        table.add_row("success", *(_with_interval(e) for e in (base, final)))
        table.add_row("steps to success", *(f"{e.steps_to_success:.1f}" for e in (base, final)))
        lowest = min(point.evaluation.success for point in points[1:])
        table.add_row(
            "lowest since updates began", f"{points[0].evaluation.success:.2f}", f"{lowest:.2f}"
        )
        table.add_row("environment steps", "", f"{int(self._learner['env_steps'])}")
        table.add_row("gradient steps", "", f"{int(self._learner['gradient_steps'])}")
        table.add_row(
            "updates per step (UTD)", "", f"{self._learner['utd']:.2f} of {self._settings.utd}"
        )
        table.add_row("time", "", f"{seconds:.0f} s")
        return table

    def _write_summary(self, fields: dict) -> None:
        learner = self._learner
        summary = {
            "seed": self._seed,
            "robot": self._config.name,
            "variant": self._config.simulation.variant,
            "contract_hash": self._config.contract_hash,
            "presample": self._settings.presample_steps > 0,
            "episodes": int(learner.get("episodes", 0)),
            "env_steps": int(learner.get("env_steps", 0)),
            "gradient_steps": int(learner.get("gradient_steps", 0)),
            "utd_asked": self._settings.utd,
            "utd": learner.get("utd"),
            "base_success_in_presample": learner.get("base_success"),
            **fields,
        }
        (self._run / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")

    @property
    def _base(self) -> Path:
        return self._run / "base"


def _curve_bundles(bundles: list[Path]) -> list[Path]:
    """A bundle every `CURVE_EVERY` environment steps, the first and the last."""
    chosen, last = [], None
    for path in bundles:
        block = load_bundle(path).manifest.env_steps // CURVE_EVERY
        if block != last or path == bundles[-1]:
            chosen.append(path)
        last = block
    return chosen


def _describe(learner: dict, version: int | None) -> tuple[str, str]:
    success = learner.get("recent_success")
    told = "" if success is None else f", success so far {success:.2f}"
    stage = learner["waiting_for"] and f"waiting for {learner['waiting_for']}"
    stage = stage or f"{learner['stage']} {learner['done']}/{learner['total']}"
    return stage, f"policy v{version or 0}{told}"


def _with_interval(evaluation: Evaluation) -> str:
    low, high = evaluation.interval
    return f"{evaluation.success:.2f}  ({low:.2f} to {high:.2f})"


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(),
        TextColumn("{task.fields[info]}"), TimeElapsedColumn(), TimeRemainingColumn(),
        console=console, transient=True,
    )  # fmt: skip
