"""How success depends on each parameter of the cells that were drawn."""

from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from porl_ros.errors import ConfigError
from porl_ros.simulation.suite import Suite
from porl_ros.simulation.variant import Variant
from porl_ros.validation.evaluation import wilson
from porl_ros.validation.plots import BLUE, ORANGE
from porl_ros.validation.record import Record
from porl_ros.validation.report.page import axes_of, picture

PARTS, LEAST = 4, 5  # parts of the episodes, and how many episodes each has at least
COLUMNS = 3
LABELS = {
    "friction": ("friction", 1.0),
    "damping": ("damping, factor", 1.0),
    "payload": ("payload [kg]", 1.0),
    "latency": ("latency [ms]", 1e3),
    "estimate_offset": ("offset of estimates [mm]", 1e3),
    "estimate_noise": ("noise of estimates [mm]", 1e3),
    "joint_noise": ("noise of joints [mrad]", 1e3),
    "dropped": ("samples lost [%]", 1e2),
    "spread": ("spread, factor", 1.0),
}


class Part(NamedTuple):
    """Episodes next to each other in one parameter: its mean, and their success."""

    value: float
    success: float
    low: float
    high: float


def dependence(record: Record) -> dict:
    """A sentence, and a picture where there is something to be seen."""
    drawn = [one for one in record.episodes if not one.nominal]
    if len(drawn) < 2 * LEAST:
        return {"said": f"Only {len(drawn)} episodes were in drawn cells.", "picture": ""}
    try:
        values = _values(record)
    except (ValidationError, ConfigError) as error:
        return {"said": f"Which cells were drawn cannot be told any more: {error}", "picture": ""}
    if not values:
        return {"said": "The suite draws no parameter of the cells.", "picture": ""}
    success = np.array([one.success for one in drawn])
    found = {name: parts(of_each, success) for name, of_each in values.items()}
    return {"said": _said(found, len(drawn)), "picture": _figure(found, success.mean())}


def parts(values: np.ndarray, success: np.ndarray) -> list[Part]:
    """Success over the values (n,) of a parameter, from the lowest to the highest."""
    count = min(PARTS, len(values) // LEAST)
    chosen = np.array_split(np.argsort(values, kind="stable"), count)
    return [
        Part(values[one].mean(), success[one].mean(), *wilson(int(success[one].sum()), len(one)))
        for one in chosen
    ]


def _values(record: Record) -> dict[str, np.ndarray]:
    """What was drawn for each episode in a drawn cell, of the parameters that vary; the suite draws
    the same cell for the same seed again."""
    suite, around = Suite.model_validate(record.suite), Variant.model_validate(record.variant)
    cells = [suite.draw(one.seed, around) for one in record.episodes if not one.nominal]
    found = {}
    for name, (_, scale) in LABELS.items():
        of_each = np.array([getattr(cell, name) for cell in cells], float)
        if of_each.ndim > 1:  # a vector, by how far it is from that of the cell as it is
            of_each = np.linalg.norm(of_each - getattr(around, name), axis=1)
        if np.ptp(of_each) > 0.0:
            found[name] = of_each * scale
    return found


def _said(found: dict[str, list[Part]], episodes: int) -> str:
    apart = [
        f"{LABELS[name][0]} ({of_it[0].success:.2f} where it is lowest, {of_it[-1].success:.2f} "
        "where it is highest)"
        for name, of_it in found.items()
        if of_it[0].low > of_it[-1].high or of_it[0].high < of_it[-1].low
    ]
    said = f"{episodes} episodes in cells that were drawn around the one that is judged in. "
    if not apart:
        return said + (
            "No parameter by itself sets its ends apart by more than their 95 % intervals."
        )
    return said + "The intervals at both ends do not meet for " + "; ".join(apart) + "."


def _figure(found: dict[str, list[Part]], overall: float) -> str:
    figure, panels = axes_of(COLUMNS, -(-len(found) // COLUMNS), 1.9)
    for axes, (name, of_it) in zip(panels, found.items(), strict=False):
        value, success, low, high = np.array(of_it).T
        axes.axhline(overall, color=ORANGE, lw=1)
        axes.errorbar(value, success, (success - low, high - success), fmt="o-", color=BLUE,
                      ms=4, lw=1, capsize=2)  # fmt: skip
        axes.set(xlabel=LABELS[name][0], ylim=(-0.05, 1.05))
    for axes in panels[::COLUMNS]:
        axes.set_ylabel("success")
    for axes in panels[len(found) :]:
        axes.remove()
    return picture(figure)
