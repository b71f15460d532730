"""A pytest plugin, there wherever porl_ros is installed: a policy in the loop, as a fixture.

    def test_the_policy_is_good_enough(in_the_loop):
        in_the_loop("robot.yaml", "runs/base", episodes=20, success=0.8)

docs/testing.md has more.
"""

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def in_the_loop(tmp_path_factory) -> Callable:
    """Call it with a robot config, a bundle, and what `roll_out` takes; returns its Rollout.

    `success`: the test fails when fewer of the episodes succeed. It fails, too, when the gate
    refuses the policy or the time is up.
    """

    def run(robot: str | Path, bundle: str | Path, *, success: float = 0.0, **options):
        from porl_ros.nodes.checks.rollout import roll_out  # every pytest imports this module

        folder = tmp_path_factory.mktemp("in_the_loop")
        done = roll_out(robot, Path(bundle), folder, **options)
        if done.success < success:
            low, high = done.interval
            pytest.fail(
                f"{bundle}: succeeded in {done.success:.2f} of {len(done.episodes)} episodes (95 % "
                f"interval {low:.2f} to {high:.2f}), asked for is {success:g}; store and logs are "
                f"in {folder}"
            )
        return done

    return run
