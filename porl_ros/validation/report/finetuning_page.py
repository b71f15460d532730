"""The report of a fine-tuning: what became of the base, then how."""

from pathlib import Path

import numpy as np
from scipy.stats import fisher_exact

from porl_ros.replay import Actor
from porl_ros.simulation.env import SEEDS_APART
from porl_ros.validation.record import record_path, write_file
from porl_ros.validation.report import finetuning_figures as figures
from porl_ros.validation.report import finetuning_tables as tables
from porl_ros.validation.report.page import Films, Table, render
from porl_ros.validation.report.run_folder import RunFolder
from porl_ros.validation.report.run_metrics import read_metrics
from porl_ros.validation.report.run_story import WINDOW, Episode, Story, read_story
from porl_ros.validation.video import film_recorded

CLIPS = 4
SURE = 0.05  # chance of a difference as large by accident, at which one is called so
NOT_FILMED = Films(why_not="Not filmed.")


class FineTuningReport:
    """One run, read once. Raises PorlError when it is made."""

    def __init__(self, folder: RunFolder):
        self._folder, self._run = folder, folder.run
        self._story = read_story(folder.store, folder.config, folder.run.base_version)
        self.ends = _ends(folder, self._story)

    def write(self, path: Path, films: Films = NOT_FILMED) -> None:
        """Write the page, whole or not at all. Raises OSError."""
        write_file(path, self.page(films).encode())

    def film(self) -> Films:
        """The last episodes that failed, played again in the scene; takes seconds."""
        folder, rows = self._folder, self._story.rows
        chosen = self._failures[:CLIPS]
        if not chosen:
            return Films(why_not="No whole episode failed.")
        if self._run.mode != "lockstep" or folder.config.reset.then != "simulation":
            return Films(why_not="What a robot did by the clock cannot be played again in a scene.")
        episodes = [
            (self._run.seed * SEEDS_APART + one.number,
             rows["requested_action"][one.first : one.end],
             rows["observation"][one.first : one.end])
            for one in chosen
        ]  # fmt: skip
        variant = folder.config.simulation.variant
        return film_recorded(folder.robot, variant, episodes, list(map(_caption, chosen)))

    def page(self, films: Films = NOT_FILMED) -> str:
        """The page."""
        folder, run, story, settings = self._folder, self._run, self._story, self._run.settings
        metrics = read_metrics(folder.output / "tensorboard")
        verdict, tone, why = _verdict(self.ends, folder, story)
        return render(
            "finetuning.html.j2",
            title=f"{folder.name}: {verdict.lower()}",
            heading=f"{folder.name}: {folder.config.name} fine-tuned",
            what=f"Begun {run.began_at:%Y-%m-%d %H:%M} UTC, cell "
            f"{folder.config.simulation.variant}, seed {run.seed}",
            verdict=verdict,
            tone=tone,
            why=why,
            facts=self._facts(),
            success=figures.success(story, folder.evaluated),
            success_caption=f"Success on the robot, exploring, over the last {WINDOW} episodes, "
            "with 95 % intervals; black: bundles evaluated on the same seeds without exploration. "
            "Red lines: sent back to an earlier policy.",
            evaluated=tables.evaluated(folder),
            episodes=tables.episodes(story),
            returns=tables.returns(story),
            critics=metrics and figures.critics(
                story, metrics, settings.discount, settings.success_share
            ),
            critics_caption="Q is the mean over the last training batch; the return is the "
            "discounted one of what batches are drawn from by then. Q may run ahead of it: it "
            "speaks of the present policy, the return of all that acted so far.",
            no_metrics=f"There is no TensorBoard log in {folder.output}.",
            exploration=figures.exploration(story, folder.manifests, metrics),
            exploration_caption="Standard deviation of the noise on actions, by bundle, and the "
            "weight of the distance to the base.",
            safety=tables.safety(story),
            interventions=figures.interventions(story),
            people=tables.people(story),
            tuning=tables.tuning(run),
            clips=films,
            failures=tables.failed(self._failures),
            settings=tables.settings(settings),
            identity=self._identity(),
        )  # fmt: skip

    @property
    def _failures(self) -> list[Episode]:
        """The last first."""
        return [one for one in reversed(self._story.own) if not one.success]

    def _facts(self) -> list[tuple[str, str, str]]:
        (base, n), (final, m) = self.ends
        story, newest = self._story, self._folder.manifests[-1:]
        share = np.mean(story.rows["actor"] == Actor.SAFETY)
        seconds = len(story.rows) / self._folder.config.control_rate
        return [
            ("base", *tables.share_of(base, n)),
            ("in the end", *tables.share_of(final, m)),
            ("robot time", f"{seconds / 60:.1f} min", f"{len(story.rows)} steps"),
            ("episodes", str(len(story.episodes)), f"in {len(self._story.runs)} run(s)"),
            ("critic updates", str(newest[0].gradient_steps) if newest else "none", "in all"),
            ("sent back", str(len(story.sent_back)), "to an earlier policy"),
            ("changed", f"{share:.1%}", "by the safety filter"),
        ]

    def _identity(self) -> Table:
        folder, run = self._folder, self._run
        final = folder.manifests[-1] if folder.manifests else None
        judged = folder.newest and record_path(folder.newest).is_file()
        rows = {
            "run": run.id,
            "contract": run.contract_hash,
            "robot config": folder.robot,
            "base policy": f"{folder.base}, version {run.base_version}, {run.base_sha256}",
            "newest bundle": f"{folder.newest.resolve()}, version {final.version}, "
            f"{final.weights_sha256}" if final else "none",
            "judged by the gate": f"{record_path(folder.newest)}" if judged else "no",
            "bundles": str(len(folder.manifests)),
            "replay store": f"{folder.store}: {', '.join(self._story.runs)}",
            "demonstrations": run.demonstrations or "none",
            "mode, device": f"{run.mode}, {run.device}",
            "packages": ", ".join(f"{k} {v}" for k, v in (final.packages if final else {}).items()),
        }  # fmt: skip
        return Table(("", ""), [(name, (value, "code")) for name, value in rows.items()])


def _ends(folder: RunFolder, story: Story) -> tuple[tuple[int, int], tuple[int, int]]:
    """(successes, episodes) of the base and in the end: evaluated, or else of the robot."""
    if folder.evaluated:
        n = folder.evaluated.final_episodes
        base, final = folder.evaluated.wins
        return (base, n), (final, n)
    last = story.since[-WINDOW:]
    count = lambda some: (sum(one.success for one in some), len(some))  # noqa: E731
    return count(story.of_base), count(last)


def _verdict(ends, folder: RunFolder, story: Story) -> tuple[str, str, str]:
    (base, n), (final, m) = ends
    if not n or not m:
        missing = "the base" if not n else "any policy since"
        return "TOO EARLY", "open", f"no whole episode of {missing} says something yet."
    how = (
        "on the same seeds, without exploration" if folder.evaluated else "on the robot, exploring"
    )
    before, after = ("{} ({})".format(*tables.share_of(*end)) for end in ends)
    why = f"success {before} with the base, {after} in the end ({n} and {m} episodes {how}). "
    why += _lowest(folder, story) + tables.sent_back(story)
    if fisher_exact([[base, n - base], [final, m - final]]).pvalue >= SURE:
        return "NO DIFFERENCE SHOWN", "open", why
    better = final / m > base / n
    return ("IMPROVED", "good", why) if better else ("WORSE", "bad", why)


def _lowest(folder: RunFolder, story: Story) -> str:
    if said := folder.evaluated:
        return (
            f"Lowest on the way: {said.lowest_success:.2f} at step {said.lowest_at_step} "
            f"({said.curve_episodes} episodes, in which the base came to "
            f"{said.base_success_on_curve:.2f}). "
        )
    whole = [one for one in story.windows(story.since) if one.episodes == WINDOW]
    if not whole:
        return ""
    lowest = min(whole, key=lambda one: one.success)
    return f"Lowest over {WINDOW} episodes: {lowest.success:.2f}, up to step {lowest.end}. "


def _caption(one: Episode) -> str:
    return f"Episode {one.number}, from step {one.first}, policy version {one.version}"
