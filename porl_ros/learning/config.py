"""Every setting of the learner, validated; ranges are stated here and nowhere else.

Origins of the defaults: (m) measured here, see docs/algorithm.md; (w) WSRL's public code, whose
setting is the nearest to ours; (c) common practice.
"""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from porl_ros.configfile import StrictModel, Width, load_model

# What may change while it learns, from one environment step to the next. All else is the shape of
# networks and memory, or of stages that are over.
LIVE = frozenset({
    "total_steps", "utd", "actor_delay", "batch_size", "success_share", "recent_share",
    "prior_share", "discount", "target_rate", "target_critics", "critic_learning_rate",
    "actor_learning_rate", "actor_learning_rate_final", "actor_average_rate", "exploration_std",
    "anchor", "anchor_final", "anchor_half_life", "box_penalty", "recovery_steps", "publish_every",
})  # fmt: skip


class PorlConfig(StrictModel):
    """Settings of PORL: pre-sample, critic warm-up, online updates."""

    presample_steps: int = Field(
        2000,
        ge=0,
        le=1_000_000,
        description="environment steps of the frozen policy before updates (m)",
    )
    total_steps: int = Field(
        6000,
        ge=1,
        le=100_000_000,
        description="environment steps in all, the pre-sample stage included",
    )
    warmup_mc_updates: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="critic updates on Monte-Carlo returns after pre-sampling, at most (m)",
    )
    warmup_td_updates: int = Field(
        6000,
        ge=0,
        le=1_000_000,
        description="critic updates on TD targets of the frozen policy after that, at most (m)",
    )
    warmup_patience: int = Field(
        8,
        ge=1,
        le=1000,
        description="checks of the held-out error, 250 updates apart, that may pass without an "
        "improvement of 1 % before a phase of the warm-up ends (m)",
    )
    utd: int = Field(4, ge=1, le=64, description="critic updates per environment step (w)")
    actor_delay: int = Field(2, ge=1, le=64, description="critic updates per actor update (m)")
    batch_size: int = Field(128, ge=1, le=65_536, description="transitions per update (m)")
    success_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of each batch from successful episodes: rare ones do not drown (m)",
    )
    recent_share: float = Field(
        0.0, ge=0, le=1, description="share of each batch from the newest 10,000 transitions"
    )
    prior_share: float = Field(
        0.0,
        ge=0,
        le=1,
        description="share of each batch from demonstrations, if there are any (as RLPD's half)",
    )
    n_step: int = Field(
        3,
        ge=1,
        le=100,
        description="rewards that a TD target sums up before it bootstraps; one of what the frozen "
        "policy did or was demonstrated (m)",
    )
    discount: float = Field(0.99, ge=0, le=1, description="gamma per control step (m)")
    target_rate: float = Field(
        0.005, gt=0, le=1, description="tau of the target critics' averaging (w)"
    )
    critics: int = Field(5, ge=1, le=20, description="networks in the ensemble (m)")
    target_critics: int = Field(
        2,
        ge=1,
        le=20,
        description="random networks of the ensemble whose lowest value is the target (w)",
    )
    critic_hidden: tuple[Width, ...] = Field(
        (128, 128), description="widths of a critic's layers (m)"
    )
    critic_layer_norm: bool = Field(True, description="LayerNorm in the critics (w)")
    critic_learning_rate: float = Field(3e-4, gt=0, le=1, description="Adam (w)")
    actor_learning_rate: float = Field(3e-4, gt=0, le=1, description="Adam, at first (m)")
    actor_learning_rate_final: float = Field(
        3e-5, gt=0, le=1, description="Adam, once every recent episode succeeds (m)"
    )
    actor_average_rate: float = Field(
        0.01,
        gt=0,
        le=1,
        description="of averaging the learned policy's weights into those that act; 1: what is "
        "learned acts (m)",
    )
    exploration_std: float = Field(
        0.2, ge=0, le=2, description="std of the noise on actions, in units of the action box (m)"
    )
    anchor: float = Field(
        2.0,
        ge=0,
        le=100,
        description="weight of the squared distance to the frozen policy at first (m)",
    )
    anchor_final: float = Field(
        0.005, ge=0, le=100, description="its weight once every recent episode succeeds (m)"
    )
    anchor_window: int = Field(
        40, ge=1, le=10_000, description="recent episodes that the fading looks at (m)"
    )
    anchor_half_life: int = Field(
        50,
        ge=0,
        le=1_000_000,
        description="episodes, no worse than the base's, after which the anchor weighs half at "
        "most; 0: success alone loosens it (m)",
    )
    residual_scale: float = Field(
        0.0,
        ge=0,
        le=2,
        description="above 0: the policy stays as it is and a correction of at most this, in units "
        "of the action box, is learned on top of it",
    )
    box_penalty: float = Field(
        0.1,
        ge=0,
        le=100,
        description="weight of the squared excess of the mean action outside the box (m)",
    )
    recovery_steps: int = Field(
        1000,
        ge=0,
        le=1_000_000,
        description="environment steps in which only the critics learn, after the policy side has "
        "gone back to an earlier policy",
    )
    memory_capacity: int = Field(
        200_000, ge=1000, le=100_000_000, description="transitions in memory (c)"
    )
    publish_every: int = Field(
        50, ge=1, le=100_000, description="environment steps between new bundles (m)"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.total_steps <= self.presample_steps:
            raise ValueError(
                f"total_steps ({self.total_steps}) must be above presample_steps "
                f"({self.presample_steps}), or no step is left to learn in"
            )
        shares = self.success_share + self.recent_share + self.prior_share
        if shares > 1.0:
            raise ValueError(
                f"success_share, recent_share and prior_share ({shares:g} together) must not "
                "exceed 1"
            )
        for first in ("anchor", "actor_learning_rate"):
            least, most = getattr(self, f"{first}_final"), getattr(self, first)
            if least > most:
                raise ValueError(f"{first}_final ({least}) must not exceed {first} ({most})")
        return self

    @classmethod
    def load(cls, path: Path | str | None) -> Self:
        """Read a YAML file; the defaults without one. ConfigError says what is wrong."""
        return load_model(cls, Path(path)) if path else cls()

    def without_presample(self) -> "PorlConfig":
        """Online updates at once, no critic warm-up, no anchor: shows why the stages are there."""
        naive = {"presample_steps": 0, "warmup_mc_updates": 0, "warmup_td_updates": 0}
        return self.model_copy(update=naive | {"anchor": 0.0, "anchor_final": 0.0})
