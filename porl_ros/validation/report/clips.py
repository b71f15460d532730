"""The worst episodes of a validation, and the last failures of a fine-tuning, on film."""

from pathlib import Path

from pydantic import ValidationError

from porl_ros.errors import ConfigError
from porl_ros.simulation.suite import Suite
from porl_ros.simulation.variant import Variant
from porl_ros.validation.gate import suite_cases
from porl_ros.validation.record import Measured, Record
from porl_ros.validation.report.page import Films
from porl_ros.validation.report.validation_page import worst
from porl_ros.validation.video import film_judged

CLIPS = 4


def film_worst(robot: str | Path, bundle: Path, record: Record) -> Films:
    """The worst episodes of a record, as they were; takes seconds. `bundle` is what was judged."""
    try:
        suite, cell = Suite.model_validate(record.suite), Variant.model_validate(record.variant)
        cases = {c.seed: c for c in suite_cases(suite, cell, bundle, record.made.weights_sha256)}
    except (ValidationError, ConfigError) as error:  # an old record
        return Films(why_not=f"no video (its cells cannot be told any more: {error})")
    chosen = worst(record)[:CLIPS]
    episodes = [(cases[one.seed], one) for one in chosen]
    return film_judged(robot, episodes, list(map(_caption, chosen)))


def _caption(one: Measured) -> str:
    cell = "the cell as it is" if one.nominal else "a drawn cell"
    outcome = "success" if one.success else "failed"
    return f"Seed {one.seed}, {cell}: {outcome}, {one.steps} steps, {one.contact_force:.0f} N"
