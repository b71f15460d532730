"""`porl rehearse`: from a cloned policy to a robot and back, on the twin that stands in for it."""

import json
import os
import time
from datetime import UTC, datetime
from pathlib import Path

from porl_ros.cli.base_policy import clone_policy, record
from porl_ros.cli.exit_codes import ExitCode
from porl_ros.cli.rehearsal_check import Check, check, story
from porl_ros.cli.rehearsal_plan import FULL, HOME, SHORT, TWIN, write_learner, write_robot
from porl_ros.cli.rehearsal_twin import Running, Unexpected, ended_trials
from porl_ros.cli.terminal import lines, tables
from porl_ros.nodes.bringup.description import NodeSpec, RobotBringup, SimulationBringup
from porl_ros.nodes.graph import private_domain
from porl_ros.paths import require_empty_or_missing
from porl_ros.policy.bundle import load_bundle, save_bundle
from porl_ros.policy.canary import Verdict
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.scene import SceneConfig
from porl_ros.validation import audit, site_key
from porl_ros.validation.deployment import deploy
from porl_ros.validation.evaluation import EVALUATION_SEED, Evaluator
from porl_ros.validation.gate import Validation
from porl_ros.validation.measures import Case, measure
from porl_ros.validation.record import record_path

NEWER = 1000  # by how much the version of the sabotaged policy is ahead of the learner's
NOISE = 0.2  # of demonstrations
OFFERS, AGAIN = 60, 10.0  # how often it is offered, and after how many seconds again


class Rehearsal:
    """One run. Its site key, audit log, robot config and place are in the run folder: it lets
    nothing onto a robot of this site."""

    def __init__(self, robot: str, output: Path | None, short: bool, seed: int):
        self._plan, self._seed = SHORT if short else FULL, seed
        self._run = output or Path("runs") / datetime.now(UTC).strftime("rehearsal-%Y%m%d-%H%M%S")
        require_empty_or_missing(self._run, "run")
        self._run = self._run.resolve()
        self._robot = str(write_robot(robot, self._plan, self._run))
        self._config = load_robot(self._robot)
        self._learner = write_learner(self._plan, self._run)
        self._base, self._place = self._run / "base", self._run / "place"
        self._tuned, self._stores = self._run / "tuned", []
        os.environ[audit.VARIABLE] = str(self._run / "audit.jsonl")
        os.environ[site_key.VARIABLE] = str(self._run / "site.key")
        private_domain()

    def run(self) -> int:
        """All acts; returns the exit code."""
        begun, unexpected = time.monotonic(), ""
        lines.print(f"[bold]porl rehearse[/], seed {self._seed} -> {self._run}")
        with Evaluator(self._robot) as self._evaluator:
            self._make_base()
            base = self._success_on_twin(self._base)
            try:
                if not base:
                    raise Unexpected("the base never succeeds on the twin: there is no bound")
                self._tune_in_simulation()
                self._ask_the_gate()
            except Unexpected as error:
                unexpected = str(error)
        try:
            if not unexpected:
                self._deploy_to_the_twin()
                self._learn_on_the_twin()
                self._roll_back()
        except Unexpected as error:
            unexpected = str(error)
        return self._conclude(base, unexpected, time.monotonic() - begun)

    # In simulation

    def _make_base(self) -> None:
        self._act("1. A base, cloned from demonstrations")
        self._clone(*self._plan.base, self._base)
        self._judge(self._base, "the base", as_base=True)
        deploy(self._place, self._base, self._config)

    def _clone(self, demonstrations: int, epochs: int, output: Path) -> None:
        demos = output.with_name(f"{output.name}_demonstrations")
        record(self._robot, HOME, demonstrations, NOISE, self._seed, demos)
        clone_policy(self._robot, demos, output, epochs, self._plan.exploration, self._seed)

    def _tune_in_simulation(self) -> None:
        if self._plan.tuned is None:
            self._act(f"2. Fine-tuned in simulation, in the cell {self._config.simulation.variant}")
            version, latest = self._fine_tune()
        else:
            self._act("2. In place of fine-tuning in simulation: cloned from more demonstrations")
            version, latest = 1, self._run / "cloned"
            self._clone(*self._plan.tuned, latest)
        self._republish(latest, self._tuned, version)

    def _fine_tune(self) -> tuple[int, Path]:
        folder = self._run / "simulation"
        bringup = SimulationBringup(
            robot_config=self._robot, bundle=str(self._base), store=str(folder / "store"),
            output=str(folder / "learner"), learner_config=str(self._learner), seed=self._seed,
        )  # fmt: skip
        with Running(bringup.nodes(), folder / "nodes", self._plan.patience) as system:
            system.wait(lambda: system.monitor.learner.get("finished"), "the learner")
        latest = max((folder / "learner" / "bundles").iterdir())
        return int(latest.name), latest

    def _ask_the_gate(self) -> None:
        self._act("3. The gate")
        if not self._judge(self._tuned, "the tuned policy", reference=self._base):
            raise Unexpected("the gate refused what was tuned in simulation")
        flipped = self._run / "flipped"
        self._republish(self._tuned, flipped, 0, factor=-1.0)
        if self._judge(flipped, "sabotage: every action turned round", reference=self._base):
            raise Unexpected("the gate admitted a policy whose every action is turned round")

    def _judge(self, bundle: Path, what: str, as_base=False, reference=None) -> bool:
        record = Validation(self._robot, bundle, as_base, reference).run(self._evaluator)
        audit.append("judged", bundle=str(bundle), version=record.policy_version,
                     why=f"{what}: {record.decision}: {record.why}")  # fmt: skip
        lines.print(f"{what}: {record.decision}, {record.success:.2f} success")
        return record.admitted

    def _success_on_twin(self, bundle: Path) -> float:
        """Of the policy as it acts, exploration included."""
        cell = SceneConfig.load(self._config.simulation.scene).variant(TWIN)
        weights = load_bundle(bundle).manifest.weights_sha256
        seeds = range(EVALUATION_SEED, EVALUATION_SEED + self._plan.base_episodes)
        cases = [Case(bundle, weights, seed, cell, True) for seed in seeds]
        outcomes = [one.success for one in self._evaluator.each(measure, cases)]
        lines.print(f"on the twin the base succeeds in {sum(outcomes)} of {len(outcomes)} episodes")
        return sum(outcomes) / len(outcomes)

    def _republish(self, bundle: Path, path: Path, version: int, factor=1.0, returns=0) -> None:
        """The same policy by another version; its actions times `factor`."""
        found = load_bundle(bundle)
        actor = found.actor
        actor.layers[-1].weight.data *= factor
        actor.layers[-1].bias.data *= factor
        save_bundle(
            path, actor, self._config.contract, made_by="porl rehearse", version=version,
            exploration_std=found.manifest.exploration_std,
            returns={self._config.name: returns},
        )  # fmt: skip

    # On the twin

    def _deploy_to_the_twin(self) -> None:
        self._act("4. Deployed to the twin, beside the base at first")
        with self._twin("deployment") as twin:
            twin.let_act(self._plan.alone)
            deploy(self._place, self._tuned, self._config)
            twin.call("deploy")
            if twin.verdict(self._tuned) != Verdict.PROMOTED:
                raise Unexpected("what was tuned in simulation was not promoted on the twin")
            twin.let_act(self._plan.alone)

    def _learn_on_the_twin(self) -> None:
        self._act("5. Fine-tuned on the twin; then one that the gate admits and the twin does not")
        before = len(ended_trials())
        with self._twin("fine_tuning", learner=True) as twin:
            twin.let_act(self._plan.alone)
            goal = before + self._plan.trials_of_learner
            twin.wait(lambda: len(ended_trials()) >= goal, "a trial")
            for entry in ended_trials()[before:]:
                lines.print(f"version {entry['version']}: {entry['event']}: {entry['why']}")
            twin.monitor.pause_learner(True)
            self._sabotage(twin)
            twin.let_act(self._plan.alone)

    def _sabotage(self, twin: Running) -> None:
        """As if a learner had lost all that it had learned: the base by a new version. It is no
        worse than the base, so a gate that asks for no more must admit it; what acts by now is."""
        returns = twin.monitor.returned.get("returns", 0)
        version = load_bundle(self._tuned).manifest.version + NEWER
        path = self._run / f"{version:06d}"
        self._republish(self._base, path, version, returns=NEWER)  # not passed over as stale
        for _ in range(OFFERS):  # a learner that pauses may have the last word, and the gate looks
            twin.monitor.offer(path)  # at what was said last
            if twin.monitor.wait_for(record_path(path).exists, AGAIN):
                break
        if twin.verdict(path) != Verdict.WITHDRAWN:
            raise Unexpected("a policy that is only as good as the base was not withdrawn")
        twin.wait(lambda: twin.monitor.returned.get("returns", 0) > returns, "a return")

    def _roll_back(self) -> None:
        self._act("6. Rolled back")
        with self._twin("rollback") as twin:
            twin.let_act(self._plan.alone)
            twin.call("rollback")
            base = load_bundle(self._base).manifest.version
            twin.wait(lambda: twin.monitor.policy_version == base, "the base")
            twin.let_act(1)

    def _twin(self, name: str, learner: bool = False) -> Running:
        folder = self._run / name
        self._stores.append(folder / "store")
        bringup = RobotBringup(
            robot_config=self._robot, bundle=str(self._place), store=str(folder / "store"),
            output=str(folder / "learner"), learner=learner, learner_config=str(self._learner),
            gate="every", twin=TWIN, seed=self._seed,
        )  # fmt: skip
        specs = [self._adapted(spec) for spec in bringup.nodes()]
        return Running(specs, folder / "nodes", self._plan.patience)

    def _adapted(self, spec: NodeSpec) -> NodeSpec:
        """The twin may run faster than a robot; each candidate is compared with the base."""
        own = {
            "simulation": {"real_time_factor": self._plan.real_time_factor},
            "gate": {"reference": str(self._base)},
        }
        return spec._replace(parameters=spec.parameters | own.get(spec.name, {}))

    # The end

    def _act(self, title: str) -> None:
        lines.print(f"\n[bold]{title}[/]")

    def _conclude(self, base: float, unexpected: str, seconds: float) -> int:
        plan, stores = self._plan, [store for store in self._stores if store.exists()]
        result = check(stores, self._config.episode.horizon, base, plan.bound, plan.window)
        self._write_summary(result, unexpected, seconds)
        tables.print(story())
        lines.print(f"{result.text}; {seconds:.0f} s; {self._run}")
        if unexpected:
            lines.print(f"[bold red]not as it must be[/]: {unexpected}")
        return 0 if result.holds and not unexpected else ExitCode.NOT_AS_IT_MUST

    def _write_summary(self, result: Check, unexpected: str, seconds: float) -> None:
        summary = result._asdict() | {"holds": result.holds, "unexpected": unexpected}
        summary |= {"seconds": round(seconds, 1), "seed": self._seed, "robot": self._config.name}
        (self._run / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
