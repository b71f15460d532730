"""What is done with the bundles of a seed: each is judged by both gates and tried in the cell that
stands for the robot's, and the good ones are spoiled and judged again."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from benchmarks.gate_worth.bundles import BELIEVED, Extent, base_of, file_of
from benchmarks.gate_worth.judging import Bench, success, verdict
from benchmarks.gate_worth.sabotage import SABOTAGES, sabotaged
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.scene import SceneConfig
from porl_ros.validation.judge import Judge
from porl_ros.validation.record import Measured

# Which good bundles are spoiled, and by which gates they are judged. What has learned on the twin
# fails the nominal gate as it is; what has learned in the nominal cell passes it.
SPOILED = (("simulation", "nominal"), ("twin", "nominal"), ("twin", "calibrated"))
MOVED = ("twin", "far")  # bundles that are judged where the camera was knocked against
FEW = ("flipped sign", "chattering")  # sabotages of the latter
Told = Callable[[str], None]


class Experiment:
    """One seed in one `place`, a cell that stands for the robot's. The bundle that had to work
    there before is the reference."""

    def __init__(self, config: RobotConfig, bench: Bench, folder: Path, place: str, extent: Extent):
        self._config, self._bench, self._folder, self._extent = config, bench, folder, extent
        self._place = place
        self._cells = {"nominal": BELIEVED, "calibrated": str(file_of(folder, place))}
        base = folder / base_of(place)
        self._references = {
            gate: {one.seed: one for one in bench.suite(base, cell, extent.judged)}
            for gate, cell in self._cells.items()
        }

    def judge(self, bundle: Path) -> dict:
        """Both gates and the place itself on one bundle."""
        gates = {
            gate: self._judged(
                self._bench.suite(bundle, cell, self._extent.judged), self._references[gate]
            )
            for gate, cell in self._cells.items()
        }
        return {"bundle": bundle.name, "gates": gates, "there": self._tried(bundle)}

    def sabotage(
        self, source: str, gate: str, kinds: Iterable[str] = SABOTAGES, told: Told = lambda s: None
    ) -> list[dict]:
        """A good bundle in every kind of sabotage, judged until it is decided. What gets through is
        tried in the place itself."""
        rows = []
        for kind in kinds:
            told(f"{source}, {kind}, {gate} gate")
            path = self._folder / "sabotaged" / f"{source}-{kind.replace(' ', '-')}"
            if not path.exists():
                sabotaged(self._folder / source, kind, self._config, path)
            said = self._stop(path, gate)
            through = said["alone"]["decision"] == "admitted"
            rows.append({"kind": kind, "of": source, "gate": gate} | said)
            rows[-1]["there"] = self._tried(path) if through else None
        return rows

    def _tried(self, bundle: Path) -> dict:
        return success(self._bench.on(bundle, self._place, self._extent.on_twin))

    def cell(self) -> dict:
        """The calibrated cell and how well it reproduces the recordings."""
        name, scene = self._cells["calibrated"], SceneConfig.load(self._config.simulation.scene)
        calibration = scene.calibration(name)
        return {
            "place": self._place,
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
