"""The pictures of a fine-tuning, over the steps that the robot took."""

from collections.abc import Mapping, Sequence

import numpy as np

from porl_ros.policy.bundle import Manifest
from porl_ros.replay import Actor
from porl_ros.validation.plots import BLUE, GREY, ORANGE
from porl_ros.validation.report.page import axes_of, picture
from porl_ros.validation.report.run_folder import Evaluated
from porl_ros.validation.report.run_metrics import Metric
from porl_ros.validation.report.run_story import Story, window

BINS = 60  # of shares over the steps, at most
STEPS = "environment steps"


def success(story: Story, evaluated: Evaluated | None) -> str:
    """Success of what the robot did, and of what was evaluated beside it."""
    figure, (axes,) = axes_of(height=3.1)
    _stages(axes, story)
    if story.of_base:
        base = window(story.of_base)
        axes.axhline(base.success, color=ORANGE, ls="--", lw=1.2, label="base, on the robot")
    if windows := story.windows(story.own):
        end, _, rate, low, high = np.array(windows).T
        axes.fill_between(end, low, high, color=BLUE, alpha=0.15, lw=0)
        axes.plot(end, rate, color=BLUE, lw=1.4, label="on the robot, last 40 episodes")
    if evaluated:
        points = evaluated.points
        at, rate, low, high = np.array([(p.env_steps, *p.with_interval) for p in points]).T
        axes.errorbar(at, rate, (rate - low, high - rate), fmt="o", color="black", ms=3.5, lw=0.8,
                      capsize=1.5, label="evaluated, no exploration")  # fmt: skip
    axes.set(xlabel=STEPS, ylabel="success", ylim=(-0.03, 1.06), xlim=(0, len(story.rows)))
    axes.legend(loc="best", fontsize=8)
    return picture(figure)


def critics(story: Story, metrics: Mapping[str, Metric], discount: float, share: float) -> str:
    """Error in the warm-up, loss, and what the critics believe beside what came about."""
    figure, (error, loss, value) = axes_of(3, height=2.5)
    for axes, name, label in (
        (error, "critic_error", "critic error, held out"),
        (loss, "critic_loss", "critic loss"),
    ):
        if name in metrics:
            axes.plot(metrics[name].gradient_steps / 1e3, metrics[name].values, color=BLUE, lw=1)
        axes.set(xlabel="critic updates [thousand]", ylabel=label)
    error.set_ylim(bottom=0.0)
    loss.set_yscale("log")
    if "value" in metrics:
        value.plot(metrics["value"].env_steps, metrics["value"].values, color=BLUE, lw=1, label="Q")
    at, returns = story.drawn_return(discount, share)
    value.plot(at, returns, color=ORANGE, lw=1, label="return")
    value.set(xlabel=STEPS, ylabel="Q and return")
    value.legend(loc="best", fontsize=8)
    return picture(figure)


def exploration(story: Story, manifests: Sequence[Manifest], metrics: Mapping[str, Metric]) -> str:
    """The noise with which each bundle explores, and how strongly the base holds the policy."""
    figure, (noise, anchor) = axes_of(2, height=2.1)
    noise.step([m.env_steps for m in manifests], [m.exploration_std for m in manifests],
               where="post", color=BLUE)  # fmt: skip
    noise.set(ylabel="exploration, std", ylim=(0, None))
    if "anchor" in metrics:
        anchor.plot(metrics["anchor"].env_steps, metrics["anchor"].values, color=BLUE)
    anchor.set(ylabel="anchor, weight", ylim=(0, None))
    for axes in (noise, anchor):
        axes.set(xlabel=STEPS, xlim=(0, len(story.rows)))
    return picture(figure)


def interventions(story: Story) -> str:
    """Who acted besides the policy, as a share of the steps; empty where nobody did."""
    if np.isin(story.rows["actor"], (Actor.POLICY, Actor.EXPERT)).all():
        return ""
    figure, (axes,) = axes_of(height=2.0)
    bins = np.unique(np.linspace(0, len(story.rows), BINS + 1).astype(int))
    for actor, label, colour in (
        (Actor.SAFETY, "changed by the safety filter", ORANGE),
        (Actor.HUMAN, "by a person", BLUE),
    ):
        axes.stairs(story.share(actor, bins), bins, color=colour, label=label, lw=1.3)
    axes.set(xlabel=STEPS, ylabel="share of steps", ylim=(0, None), xlim=(0, len(story.rows)))
    axes.legend(loc="best", fontsize=8)
    return picture(figure)


def _stages(axes, story: Story) -> None:
    if story.changed_at < len(story.rows):
        axes.axvspan(0, story.changed_at, color=GREY, alpha=0.13, lw=0)
        axes.text(story.changed_at / 2, 1.05, "base acts", ha="center", va="top", color=GREY,
                  fontsize=8)  # fmt: skip
    for row, _, _ in story.sent_back:
        axes.axvline(row, color="#b3261e", lw=1)
