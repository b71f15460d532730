"""Cells change in place: same seed and cell, same episode, whatever was simulated before."""

import numpy as np
import pytest

from porl_ros.errors import ConfigError
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.composing import PAYLOAD
from porl_ros.simulation.robot import SimulatedRobot
from porl_ros.simulation.variant import Variant

pytestmark = pytest.mark.slow

STRANGE = Variant(
    friction=0.9, damping=1.5, payload=1.2, latency=0.13, estimate_offset=(0.01, -0.02, 0.003),
    estimate_noise=0.004, joint_noise=0.001, dropped=0.3, spread=0.8,
)  # fmt: skip
NEUTRAL = Variant()


@pytest.fixture(scope="module", params=["ur5e_insert", "ur5e_lift", "ur5e_pick_place"])
def robot(request) -> SimulatedRobot:
    return SimulatedRobot(load_robot(request.param), NEUTRAL)


def episode(robot: SimulatedRobot, variant: Variant, seed: int = 5, steps: int = 15) -> np.ndarray:
    """Stamps (since the reset) and values of all samples under commands that swing the arm."""
    robot.set_variant(variant)
    samples = [robot.reset(seed)]
    begin, held = robot.time_ns, robot.command
    for step in range(steps):
        wave = np.zeros(len(held))
        wave[1], wave[2] = 0.06 * np.sin(step), 0.05 * np.cos(step / 2)
        samples.append(robot.step(held + wave))
    flat = [
        np.concatenate([[s.stamp - begin], *s.values.values()])
        for found in samples
        for s in found.values()
    ]
    return np.concatenate(flat)


@pytest.mark.parametrize("variant", [NEUTRAL, STRANGE], ids=["neutral", "strange"])
def test_an_episode_knows_nothing_of_the_cells_before(robot, variant):
    fresh = episode(SimulatedRobot(robot.config, variant), variant)
    for other in (STRANGE, Variant(payload=0.5, damping=0.7), NEUTRAL):
        episode(robot, other, seed=8, steps=3)
        np.testing.assert_array_equal(episode(robot, variant), fresh)


@pytest.mark.parametrize(
    ("field", "value"),
    [("damping", 1.2), ("payload", 0.3), ("latency", 0.02), ("spread", 0.9), ("dropped", 0.4),
     ("joint_noise", 0.001), ("estimate_noise", 0.001), ("estimate_offset", (0.0, 0.0, 0.001))],
)  # fmt: skip
def test_each_field_makes_a_difference(robot, field, value):
    changed = NEUTRAL.model_copy(update={field: value})
    assert not np.array_equal(episode(robot, changed), episode(robot, NEUTRAL))


def test_friction_is_felt_where_things_touch():
    robot = SimulatedRobot(load_robot("ur5e_lift"), Variant(friction=0.9))
    cube = robot.model.geom("cube").id
    assert robot.model.geom_friction[cube, 0] == 0.9
    robot.set_variant(NEUTRAL)
    assert robot.model.geom_friction[cube, 0] == 0.9  # until the next reset
    robot.reset(0)
    assert robot.model.geom_friction[cube, 0] == 0.8


def test_an_unknown_payload_pulls_the_arm_down_and_a_known_one_does_not(robot):
    def sag(payload: float) -> float:
        robot.set_variant(Variant(payload=payload))
        robot.reset(0)
        held, arm = robot.command, len(robot.kinematics.joints)
        before = robot.kinematics.tool_position(held[:arm])[2]
        for _ in range(20):
            samples = robot.step(held)
        tool = robot.kinematics.tool_position(samples["arm"].values["position"][:arm])
        np.testing.assert_allclose(robot.data.body(PAYLOAD).xpos, tool, atol=1e-6)
        return before - tool[2]

    assert abs(sag(0.0)) < 1e-4  # the controller compensates what it knows of
    assert sag(2.0) == pytest.approx(2 * sag(1.0), rel=0.1)
    assert 0.0005 < sag(1.0) < 0.005


def test_more_damping_follows_later(robot):
    def way(damping: float) -> float:
        robot.set_variant(Variant(damping=damping))
        robot.reset(0)
        before = robot.data.qpos.copy()
        robot.step(robot.command + 0.05)
        return float(np.abs(robot.data.qpos - before).max())

    assert way(0.8) > way(1.0) > way(1.25)


@pytest.mark.parametrize("latency", [0.01, 0.1, 0.13, 0.25])
def test_commands_arrive_in_order_however_late(robot, latency):
    """One that is later than a control step leads to the same motion, that much later."""
    late = round(latency / robot.scene.timestep)
    commands = []

    def motion(delay: int, variant: Variant) -> np.ndarray:
        robot.set_variant(variant)
        robot.reset(1)
        if not commands:
            rng = np.random.default_rng(0)
            commands.extend(robot.command + 0.03 * rng.uniform(-1, 1, (6, len(robot.command))))
        robot.advance(robot.command, delay + 1)
        for command in [*commands, commands[-1], commands[-1], commands[-1]]:
            robot.advance(command, 50)
        robot.advance(commands[-1], late - delay)
        return robot.data.ctrl.copy(), robot.data.qvel.copy()

    expected, actual = motion(late, NEUTRAL), motion(0, Variant(latency=latency))
    np.testing.assert_array_equal(actual[0], expected[0])
    np.testing.assert_allclose(actual[1], expected[1], atol=1e-7)


def test_commands_do_not_outlive_a_reset(robot):
    robot.set_variant(Variant(latency=0.15))
    robot.reset(1)
    robot.step(robot.command + 0.05)
    robot.reset(1)
    held = robot.data.ctrl.copy()
    for _ in range(3):
        robot.step(robot.command)
    np.testing.assert_array_equal(robot.data.ctrl, held)


def test_a_lost_sample_leaves_the_last_one_with_its_stamp(robot):
    robot.set_variant(Variant(dropped=0.25))
    last = robot.reset(3)
    assert {s.stamp for s in last.values()} == {robot.time_ns}  # an episode begins with all
    lost = total = 0
    for _ in range(300):
        samples = robot.step(robot.command)
        for name, sample in samples.items():
            total += 1
            if sample.stamp != robot.time_ns:
                lost += 1
                assert sample is last[name]
        last = samples
    assert 0.18 < lost / total < 0.32


def test_a_cell_without_room_for_the_mark_is_refused():
    robot = SimulatedRobot(load_robot("ur5e_pick_place"))
    robot.set_variant(Variant(spread=0.6))
    with pytest.raises(ConfigError, match=r"spread = 0.6: .*goal_apart = 0.08.*spread them wider"):
        robot.reset(0)
