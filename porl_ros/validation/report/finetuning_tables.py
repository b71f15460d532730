"""The tables of a fine-tuning's report."""

from collections.abc import Sequence

import numpy as np

from porl_ros.learning.config import PorlConfig
from porl_ros.learning.run_file import RunFile
from porl_ros.replay import Actor
from porl_ros.validation.evaluation import wilson
from porl_ros.validation.report.page import Table
from porl_ros.validation.report.run_folder import RunFolder, tunings
from porl_ros.validation.report.run_story import WINDOW, Episode, Story

LISTED = 20  # lines of a list, at most


def sent_back(story: Story) -> str:
    times = len(story.sent_back)
    return f"Sent back {times} time(s)." if times else "Never sent back to an earlier policy."


def share_of(wins: int, n: int) -> tuple[str, str]:
    if not n:
        return "?", "no episodes"
    low, high = wilson(wins, n)
    return f"{wins / n:.2f}", f"{low:.2f} to {high:.2f}"


def evaluated(folder: RunFolder) -> Table | None:
    if not (said := folder.evaluated):
        return None
    rows = [
        (name, str(said.final_episodes), *share_of(wins, said.final_episodes))
        for name, wins in zip(("base", "in the end"), said.wins, strict=True)
    ]
    return Table(("evaluated, no exploration", "episodes", "success", "95 % interval"), rows)


def episodes(story: Story) -> Table:
    groups = {
        "base, before any other acted": story.of_base,
        "since then": story.since,
        f"the last {WINDOW}": story.since[-WINDOW:],
    }
    rows = []
    for name, some in groups.items():
        wins = [one for one in some if one.success]
        steps = f"{np.mean([one.end - one.first for one in wins]):.1f}" if wins else ""
        returned = f"{np.mean([one.returned for one in some]):.3g}" if some else ""
        rows.append((name, str(len(some)), *share_of(len(wins), len(some)), steps, returned))
    header = "on the robot, exploring", "episodes", "success", "95 % interval", "steps to success"
    return Table((*header, "return"), rows)


def returns(story: Story) -> dict:
    rows = [(str(row), str(a), str(b)) for row, a, b in story.sent_back]
    said = "Each time an earlier policy acted again." if rows else sent_back(story)
    return {"said": said, "table": Table(("step", "from version", "to version"), rows)}


def safety(story: Story) -> dict:
    rows = story.rows[story.rows["actor"] == Actor.SAFETY]
    asked = np.clip(rows["requested_action"], -1.0, 1.0)
    apart = np.abs(asked - rows["action"])
    table = [
        (f"action {i}", f"{of_it.mean():.3f}", f"{of_it.max():.3f}")
        for i, of_it in enumerate(apart.T) if len(rows)
    ]  # fmt: skip
    said = (
        f"It changed {len(rows)} of {len(story.rows)} steps. By how much, in units of the action "
        "box from -1 to 1, what was asked for was another action than the one carried out:"
    )
    return {
        "said": said if len(rows) else f"It changed none of {len(story.rows)} steps.",
        "table": Table(("in those steps", "mean", "highest"), table),
    }


def people(story: Story) -> dict:
    by_hand = story.rows["actor"] == Actor.HUMAN
    helped = [one for one in story.episodes if one.helped]
    rows = [
        (one.run, str(one.number), str(one.first), str(int(by_hand[one.first : one.end].sum())),
         "yes" if one.success else "no")
        for one in helped[-LISTED:]
    ]  # fmt: skip
    said = "No person acted." if not helped else (
        f"A person acted in {int(by_hand.sum())} steps of {len(helped)} episodes"
        + (f"; the last {LISTED} of them:" if len(helped) > LISTED else ":")
    )  # fmt: skip
    header = "run of the robot", "episode", "from step", "steps by a person", "success"
    return {"said": said, "table": Table(header, rows)}


def tuning(run: RunFile) -> dict:
    lines, why_not = tunings(run)
    rows = [
        (str(one.get("at", ""))[:19], str(one.get("name", "")), str(one.get("old")),
         str(one.get("new")), str(one.get("env_step", "")), str(one.get("by", "")))
        for one in lines
    ]  # fmt: skip
    said = why_not or ("As the audit log has it:" if rows else "Nothing, as the audit log has it.")
    return {"said": said, "table": Table(("UTC", "setting", "from", "to", "step", "by"), rows)}


def failed(episodes: Sequence[Episode]) -> Table:
    rows = [
        (one.run, str(one.number), str(one.first), str(one.version), str(one.end - one.first))
        for one in episodes[:LISTED]
    ]
    return Table(("run of the robot", "episode", "from step", "policy version", "steps"), rows)


def settings(settings: PorlConfig) -> Table:
    rows = []
    for name, field in PorlConfig.model_fields.items():
        value, usual = getattr(settings, name), field.default
        text = str(value) if value == usual else (f"{value}  (default {usual})", "open")
        rows.append((name, text, field.description.split(" (")[0]))
    return Table(("setting", "value", "what it is"), rows)
