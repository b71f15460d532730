"""What an episode of a policy came to: the policy as it will act, its exploration noise included.

Observation, safety filter and inference are those of the robot (`Controller`, `PolicyRuntime`).
"""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import mujoco
import numpy as np

from porl_ros.errors import PorlError
from porl_ros.policy.bundle import PolicyBundle, load_bundle
from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.controller import Act
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.variant import Variant
from porl_ros.validation.record import Measured

DIGITS = 6  # of what is measured: what is beyond differs from one make of processor to another


class Case(NamedTuple):
    """An episode to be run: which weights (they are verified), which seed, in which cell."""

    bundle: Path
    weights_sha256: str
    seed: int
    cell: Variant
    nominal: bool  # the cell is the one that is judged in, not one drawn around it


def measure(env: RobotEnv, config: RobotConfig, case: Case) -> Measured:
    """Run one episode; the same case gives the same numbers, whatever was run before."""
    env.robot.set_variant(case.cell)
    observation, _ = env.reset(seed=case.seed)
    policy = PolicyRuntime(config, "cpu", explore=True, seed=case.seed)
    policy.swap(_load(case.bundle, case.weights_sha256))
    force, acts, sent, returned = ContactForce(env), [], [env.controller.sent], 0.0
    with force:
        over = False
        while not over:
            observation, reward, success, truncated, info = env.step(policy.act(observation))
            acts.append(info["act"])
            sent.append(acts[-1].command)
            returned += reward
            over = success or truncated
    velocity, acceleration = _peaks(np.array(sent), config)
    return Measured(
        seed=case.seed,
        nominal=case.nominal,
        success=success,
        returned=round(returned, DIGITS),
        steps=len(acts),
        intervened=sum(bool(act.interventions) for act in acts),
        interventions=_counted(acts),
        velocity=velocity,
        acceleration=acceleration,
        contact_force=round(force.peak, DIGITS),
        roughness=_roughness(np.array([act.executed for act in acts])),
    )


@lru_cache(4)
def _load(path: Path, weights_sha256: str) -> tuple[PolicyBundle, object]:
    """Whoever made the case has held the contract against the robot's."""
    bundle = load_bundle(path)
    if bundle.manifest.weights_sha256 != weights_sha256:
        raise PorlError(f"{path}: was exchanged while it was being judged; judge it again")
    return bundle, bundle.actor.for_control()


def _counted(acts: list[Act]) -> dict[str, int]:
    """In how many steps each limit of the safety filter changed the command."""
    reasons = [str(limit) for act in acts for limit in act.interventions]
    return {reason: reasons.count(reason) for reason in sorted(set(reasons))}


def _peaks(sent: np.ndarray, config: RobotConfig) -> tuple[float, float]:
    """The highest velocity and acceleration of commands (t, n), each as a share of its joint's
    limit. The robot stands before the first."""
    limits = [config.safety.joints[joint] for joint in config.command_joints]
    velocity = np.diff(sent, axis=0) * config.control_rate
    acceleration = np.diff(velocity, axis=0, prepend=0.0) * config.control_rate
    of_velocity = np.abs(velocity) / [limit.velocity for limit in limits]
    of_acceleration = np.abs(acceleration) / [limit.acceleration or np.inf for limit in limits]
    return round(float(of_velocity.max()), DIGITS), round(float(of_acceleration.max()), DIGITS)


def _roughness(executed: np.ndarray) -> float:
    """Mean squared second difference of actions (t, m): 0 for a steady motion, 16 for one that
    goes from one end of the box to the other in every step."""
    if len(executed) < 3:
        return 0.0
    return round(float(np.mean(np.diff(executed, 2, axis=0) ** 2)), DIGITS)


class ContactForce:
    """The highest force between the robot and anything else while it is open: the sum of the
    magnitudes of all contacts at one time, N, looked at after every step of physics.

    The robot is every geom of the arm and of what is mounted on it; contacts within it (finger on
    finger) do not count, those with what it holds do.
    """

    def __init__(self, env: RobotEnv):
        self._robot, self.peak = env.robot, 0.0
        model = env.robot.model
        first = model.jnt_bodyid[model.joint(env.robot.config.kinematics.joints[0]).id]
        root = model.body_rootid[first]
        self._own = model.body_rootid[model.geom_bodyid] == root
        self._force = np.zeros(6)

    def __enter__(self) -> "ContactForce":
        self._robot.after_physics = self._look
        return self

    def __exit__(self, *_: object) -> None:
        self._robot.after_physics = None

    def _look(self) -> None:
        data = self._robot.data
        if not data.ncon:
            return
        of_robot = self._own[data.contact.geom]
        total = 0.0
        for i in np.flatnonzero(of_robot[:, 0] != of_robot[:, 1]):
            mujoco.mj_contactForce(self._robot.model, data, i, self._force)
            total += float(np.linalg.norm(self._force[:3]))
        self.peak = max(self.peak, total)
