"""Episodes of bundles in the gate's suite and on the twin, and what the gate's rule makes of them.

The gate decides on its episodes one after the other, so its decision can be told from all of them
afterwards; episodes are the same whenever they are run, so they are run once and kept.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

from pydantic import TypeAdapter

from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.scene import SceneConfig
from porl_ros.simulation.suite import Suite
from porl_ros.validation.admission import describe
from porl_ros.validation.evaluation import EVALUATION_SEED, Evaluator
from porl_ros.validation.gate import suite_cases
from porl_ros.validation.judge import Judge
from porl_ros.validation.measures import Case, measure
from porl_ros.validation.record import Measured

EPISODES = TypeAdapter(list[Measured])


class Bench:
    """Runs episodes of one robot over the cores, and keeps them in `folder`."""

    def __init__(self, config: RobotConfig, evaluator: Evaluator, folder: Path):
        self._config, self._evaluator, self._folder = config, evaluator, folder
        self._scene = SceneConfig.load(config.simulation.scene)
        self._suite = Suite.load(config.simulation.scene)

    def suite(
        self, bundle: Path, cell: str, count: int, judges: Iterable[Judge] = ()
    ) -> list[Measured]:
        """The first `count` episodes of the gate's suite around `cell`; with judges, until they
        all have decided."""
        weights = describe(bundle, self._config).weights_sha256
        cases = suite_cases(self._suite, self._scene.variant(cell), bundle, weights)[:count]
        return self._run(bundle, cases, list(judges))

    def on(self, bundle: Path, cell: str, count: int) -> list[Measured]:
        """Episodes of the policy as it acts in a cell as it is, on seeds that no gate has."""
        weights, variant = describe(bundle, self._config).weights_sha256, self._scene.variant(cell)
        seeds = range(EVALUATION_SEED, EVALUATION_SEED + count)
        return self._run(bundle, [Case(bundle, weights, seed, variant, True) for seed in seeds], [])

    def _run(self, bundle: Path, cases: list[Case], judges: list[Judge]) -> list[Measured]:
        path = self._folder / f"{self._key(bundle, cases)}.json"
        if path.is_file():
            return EPISODES.validate_json(path.read_bytes())
        found = []
        with closing(self._evaluator.each(measure, cases)) as coming:
            for one in coming:
                found.append(one)
                if judges and all([judge.observe(one) for judge in judges]):
                    break
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_bytes(EPISODES.dump_json(found))
        temporary.replace(path)
        return found

    def _key(self, bundle: Path, cases: list[Case]) -> str:
        """Of all that the episodes depend on, but for the code and the models."""
        cells = [(case.seed, case.nominal, case.cell.model_dump(mode="json")) for case in cases]
        said = [describe(bundle, self._config).manifest_sha256, cells]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def verdict(judge: Judge, episodes: Sequence[Measured]) -> dict:
    """What the gate says of a bundle with these episodes, JSON-able: the decision, after how many
    of them, and what stopped it."""
    for one in episodes:
        if judge.observe(one):
            break
    missed = [c for c in judge.criteria() if c.asked and not c.holds]
    broken = [c.name for c in missed if c.holds is False]
    broken = broken or [f"{c.name}, not shown" for c in missed]
    stopped = [] if judge.decision == "admitted" else broken
    return {"decision": judge.decision, "after": len(judge.episodes), "stopped_by": stopped}


def success(episodes: Sequence[Measured]) -> dict:
    """Successes and episodes, the hardest contact [N], and the mean roughness; JSON-able."""
    return {
        "successes": sum(one.success for one in episodes),
        "episodes": len(episodes),
        "contact_force": max(one.contact_force for one in episodes),
        "roughness": sum(one.roughness for one in episodes) / len(episodes),
    }
