"""What is done with the bundles of a seed: each is judged by both gates and tried on the twin, and
the good ones are spoiled and judged again."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from benchmarks.gate_worth.bundles import BELIEVED, CELL, TWIN, Extent, base_of
from benchmarks.gate_worth.judging import Bench, success, verdict
from benchmarks.gate_worth.sabotage import SABOTAGES, sabotaged
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.scene import SceneConfig
from porl_ros.validation.judge import Judge
from porl_ros.validation.record import Measured

# Which good bundles are spoiled, and by which gates they are judged. What has learned on the twin
# fails the nominal gate as it is; what has learned in the nominal cell passes it.
SPOILED = (("simulation", "nominal"), ("twin", "nominal"), ("twin", "calibrated"))
Told = Callable[[str], None]


class Experiment:
    """One seed. `references` are the base's episodes by gate: it is compared with them, too."""

    def __init__(self, config: RobotConfig, bench: Bench, folder: Path, extent: Extent):
        self._config, self._bench, self._folder, self._extent = config, bench, folder, extent
        self._cells = {"nominal": BELIEVED, "calibrated": str(folder / CELL)}
        base = base_of(folder)
        self._references = {
            gate: {one.seed: one for one in bench.suite(base, cell, extent.judged)}
            for gate, cell in self._cells.items()
        }

    def judge(self, bundle: Path) -> dict:
        """Both gates and the twin on one bundle."""
        extent, bench = self._extent, self._bench
        gates = {
            gate: self._judged(bench.suite(bundle, cell, extent.judged), self._references[gate])
            for gate, cell in self._cells.items()
        }
        twin = success(bench.on(bundle, TWIN, extent.on_twin))
        return {"bundle": bundle.name, "gates": gates, "twin": twin}

    def sabotage(self, told: Told = lambda name: None) -> list[dict]:
        """Every kind of sabotage, judged until it is decided."""
        rows = []
        for source, gate in SPOILED:
            for kind in SABOTAGES:
                told(f"{kind}, {gate}")
                path = self._folder / "sabotaged" / f"{source}-{kind.replace(' ', '-')}"
                if not path.exists():
                    sabotaged(self._folder / source, kind, self._config, path)
                rows.append({"kind": kind, "of": source, "gate": gate} | self._stop(path, gate))
        return rows

    def cell(self) -> dict:
        """The calibrated cell and how well it reproduces the recordings."""
        name, scene = self._cells["calibrated"], SceneConfig.load(self._config.simulation.scene)
        calibration = scene.calibration(name)
        return {
            "variant": scene.variant(name).model_dump(mode="json"),
            "fit": calibration.fit,
            "intervals": calibration.intervals,
            "untold": calibration.untold,
        }

    def _stop(self, bundle: Path, gate: str) -> dict:
        reference = self._references[gate]
        judges = self._judges(reference).values()
        episodes = self._bench.suite(bundle, self._cells[gate], self._extent.judged, judges)
        return self._judged(episodes, reference)

    def _judged(self, episodes: Sequence[Measured], reference: Mapping[int, Measured]) -> dict:
        judges = self._judges(reference)
        said = {name: verdict(judge, episodes) for name, judge in judges.items()}
        return success(episodes) | said

    def _judges(self, reference: Mapping[int, Measured]) -> dict[str, Judge]:
        """The rule by itself, and with the base named as the reference."""
        rule, planned = self._config.gate.rule, self._extent.judged
        return {
            "alone": Judge(rule, planned),
            "compared": Judge(rule, planned, reference=reference),
        }
