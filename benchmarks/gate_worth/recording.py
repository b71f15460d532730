"""Episodes of a bundle in a cell, in a replay store, as a policy node would record them."""

from pathlib import Path

from porl_ros.policy.runtime import PolicyRuntime
from porl_ros.replay import Actor, ReplayWriter, robot_schema
from porl_ros.robot.config import RobotConfig
from porl_ros.simulation.env import RobotEnv

RECORDING_SEED = 4_000_000_000_000  # far from those of the gate, of evaluation and of training


def record_in(
    config: RobotConfig, bundle: Path, cell: str, episodes: int, seed: int, store: Path
) -> None:
    """Record so many episodes of the policy as it acts, exploration noise included."""
    env, policy = RobotEnv(config, cell), PolicyRuntime(config, "cpu", seed=seed)
    policy.swap(policy.load(bundle))
    with ReplayWriter(store, robot_schema(config), config.name) as writer:
        for number in range(episodes):
            observation, _ = env.reset(seed=RECORDING_SEED + 1000 * seed + number)
            step, ended = 0, False
            while not ended:
                stamp = env.robot.time_ns
                after, reward, terminated, truncated, info = env.step(policy.act(observation))
                ended = terminated or truncated
                writer.log(
                    observation=observation, action=info["act"].executed,
                    requested_action=info["act"].requested, reward=reward, terminated=terminated,
                    truncated=truncated, actor=Actor.POLICY, policy_version=policy.version,
                    episode=number, step=step, stamp=stamp,
                    final_observation=after if ended else None,
                )  # fmt: skip
                observation, step = after, step + 1
