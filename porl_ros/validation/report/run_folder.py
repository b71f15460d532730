"""The pieces of a fine-tuning on disk, found and read."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from porl_ros.errors import ConfigError, ContractMismatch, PorlError
from porl_ros.learning.run_file import NAME, RunFile, read_run_file
from porl_ros.policy.bundle import Manifest, read_manifest
from porl_ros.policy.files import read_file
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.loading import load_robot
from porl_ros.validation import audit
from porl_ros.validation.evaluation import wilson
from porl_ros.validation.report.run_story import ReportError

MAX_SUMMARY = 2**22
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class Point(NamedTuple):
    """A bundle on the evaluated curve."""

    env_steps: int
    success: float
    episodes: int

    @property
    def with_interval(self) -> tuple[float, float, float]:
        """Success, and the 95 % interval."""
        return self.success, *wilson(round(self.success * self.episodes), self.episodes)


class Evaluated(BaseModel):
    """What `porl demo` evaluated, of its `summary.json`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    base_success: Share
    final_success: Share
    final_episodes: int = Field(ge=1, le=10**6)
    base_success_on_curve: Share
    lowest_success: Share
    lowest_at_step: int = Field(ge=0)
    curve: tuple[tuple[int, int, float], ...] = Field(min_length=1, max_length=10**5)
    curve_episodes: int = Field(ge=1, le=10**6)

    @property
    def points(self) -> list[Point]:
        """The curve."""
        return [Point(steps, success, self.curve_episodes) for steps, _, success in self.curve]

    @property
    def wins(self) -> tuple[int, int]:
        """Of the base and in the end, each in `final_episodes`."""
        n = self.final_episodes
        return round(self.base_success * n), round(self.final_success * n)


class RunFolder(NamedTuple):
    """Where things are; `name` is what people call the run."""

    name: str
    output: Path
    run: RunFile
    config: RobotConfig
    robot: str
    store: Path
    base: Path
    manifests: tuple[Manifest, ...]  # of the bundles, the oldest first
    newest: Path | None  # of the bundles
    evaluated: Evaluated | None


def find_run(path: Path, robot: str | None = None, store: Path | None = None) -> RunFolder:
    """The run in a folder: the learner's output, or what `porl demo` made. `robot`, `store`: where
    they are not where they were. Raises PorlError naming what is missing."""
    output = path / "learner" if (path / "learner" / NAME).is_file() else path
    run = read_run_file(output)
    robot = robot or _robot(output, run)
    config = load_robot(robot)
    if config.contract_hash != run.contract_hash:
        raise ContractMismatch(
            f"{robot}: is another contract than the one of this run "
            f"({run.contract_hash[:12]}); name the config that it had with --robot"
        )
    store = store or (output / run.store).resolve()
    if not store.is_dir():
        raise ReportError(f"{store}: the replay store of this run is not there; name it with "
                          "--store")  # fmt: skip
    bundles = _bundles(output / "bundles", run.base_sha256)
    return RunFolder(
        name=path.resolve().name,
        output=output,
        run=run,
        config=config,
        robot=robot,
        store=store,
        base=(output / run.base).resolve(),
        manifests=tuple(manifest for _, manifest in bundles),
        newest=bundles[-1][0] if bundles else None,
        evaluated=_evaluated(path / "summary.json"),
    )


def tunings(run: RunFile) -> tuple[list[dict], str]:
    """What was changed while it learned, as the audit log of this site has it; or why that cannot
    be told."""
    if not audit.audit_path().exists():
        return [], "This site has no audit log."
    try:
        lines = audit.read()
    except audit.AuditError as error:
        return [], str(error)
    return [one for one in lines if one.get("run") == run.id and "old" in one], ""


def _robot(output: Path, run: RunFile) -> str:
    file = output / run.robot
    return str(file) if file.is_file() else run.robot


def _bundles(folder: Path, base: str) -> list[tuple[Path, Manifest]]:
    """Those that came of this base; a damaged one is left out, `porl policy ls` names it."""
    found = []
    for path in sorted(folder.glob("[0-9]*")):
        with suppress(PorlError):
            found.append((path, read_manifest(path)))
    return [(path, manifest) for path, manifest in found if manifest.parent == base]


def _evaluated(path: Path) -> Evaluated | None:
    """None where nothing was evaluated. Raises ConfigError."""
    if not path.is_file():
        return None
    try:
        content = json.loads(read_file(path, MAX_SUMMARY, ConfigError))
        if not isinstance(content, dict) or content.get("status") != "finished":
            return None
        return Evaluated.model_validate(content)
    except (ValueError, ValidationError, RecursionError) as error:
        raise ConfigError(
            f"{path}: is no summary of `porl demo` ({str(error).splitlines()[0]}); put it right, "
            "or take it away"
        ) from None
