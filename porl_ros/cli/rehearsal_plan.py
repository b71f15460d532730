"""How large a rehearsal is, and the robot config and the scene that it is done with.

Both are copies in the run folder: nothing that is shipped or used elsewhere is touched.
"""

from pathlib import Path
from typing import Any, NamedTuple

import yaml

from porl_ros.errors import PorlError
from porl_ros.learning.config import PorlConfig
from porl_ros.paths import resolve_robot_config, share_dir
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.scene import SceneConfig

HOME, TWIN = "calibrated", "twin"  # where all is as it should be; what stands in for the robot


class Plan(NamedTuple):
    """One form of the rehearsal. `bound`: the share of the base's success by which that on the twin
    may fall below it, in any `window` episodes that follow each other."""

    base: tuple[int, int]  # demonstrations and epochs of which it is cloned
    tuned: tuple[int, int] | None  # the same in place of fine-tuning in simulation
    exploration: float  # of all policies: one that explores more is rougher than its base
    learner: dict[str, Any]  # settings, in simulation and on the twin
    trials_of_learner: int  # that are waited for on the twin
    suite: tuple[int, int] | None  # nominal and randomised episodes; None: the scene's
    canary: dict[str, Any]  # in place of the config's
    rule: dict[str, Any]  # the same
    alone: int  # episodes that the acting policy takes before anything happens to it
    base_episodes: int  # on which its success on the twin is measured
    real_time_factor: float
    patience: float  # seconds that anything may take
    window: int = 20
    bound: float = 0.5


# Success is not asked for, as docs/gate.md says of a base that is to be improved step by step: so
# the gate lets pass whatever is no worse than the base, and the base again.
FULL = Plan(
    base=(10, 300), tuned=None, exploration=0.2, learner={}, trials_of_learner=1, suite=None,
    canary={}, rule={"success": None}, alone=10, base_episodes=100, real_time_factor=3.0,
    patience=1800.0,
)  # fmt: skip
# In about a minute: no noise, short ways, and a base of too few demonstrations, so that what is
# good and what is bad shows in a few episodes; and errors that nobody would accept elsewhere.
SHORT = Plan(
    base=(8, 200), tuned=(10, 300), exploration=0.1, trials_of_learner=0, suite=(12, 0),
    learner={"presample_steps": 100, "total_steps": 100_000, "warmup_mc_updates": 20,
             "warmup_td_updates": 20, "batch_size": 16, "critic_hidden": [16], "utd": 1},
    canary={"share": 0.5, "worse_by": 0.2, "false_promotion": 0.05, "false_withdrawal": 0.3},
    rule={"success": None, "worse_by": 0.3, "false_admission": 0.3, "least": 4},
    alone=2, base_episodes=12, real_time_factor=4.0, patience=240.0, window=6,
)  # fmt: skip


def write_robot(robot: str, plan: Plan, folder: Path) -> Path:
    """The robot config of the rehearsal. Raises ConfigError, PorlError for a scene without the
    cells that it needs."""
    content = yaml.safe_load(resolve_robot_config(robot).read_text())
    config = load_robot(robot)
    cells = SceneConfig.load(config.simulation.scene).variants
    for cell in (HOME, TWIN):
        if cell not in cells:
            raise PorlError(
                f"simulation.scene = '{config.simulation.scene}': has no cell '{cell}', which a "
                "rehearsal needs; add it to its variants, as in sim/ur5e_insert.yaml"
            )
    folder.mkdir(parents=True, exist_ok=True)  # not before: what is refused leaves nothing
    gate = config.gate.model_dump(mode="json")
    gate["rule"] |= plan.rule
    gate["canary"] |= plan.canary
    content["gate"] = gate | {"mode": "every"}
    if plan.suite:
        content["simulation"]["scene"] = str(_write_scene(config.simulation.scene, plan, folder))
        content["simulation"]["variant"] = HOME
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    load_robot(path)
    return path


def _write_scene(scene: str, plan: Plan, folder: Path) -> Path:
    content = yaml.safe_load((share_dir() / "sim" / scene).read_text())
    home = content["variants"][HOME] | {"estimate_noise": 0.0}
    twin = home | {"latency": 0.01, "damping": 1.05}
    content["variants"] |= {HOME: home, TWIN: twin}
    content["task"] |= {"start_height": 0.05, "start_spread": 0.01}
    content["suite"] = dict(zip(("nominal", "randomised"), plan.suite, strict=True))
    path = folder.resolve() / "scene.yaml"
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


def write_learner(plan: Plan, folder: Path) -> Path:
    """The learner's settings. Raises ConfigError."""
    path = folder / "learner.yaml"
    settings = PorlConfig(exploration_std=plan.exploration, **plan.learner).model_dump(mode="json")
    path.write_text(yaml.safe_dump(settings, sort_keys=False))
    return path
