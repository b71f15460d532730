"""Trains the agent that shows the Hopper task; two minutes of one core.

    python -m benchmarks.finetuning.hopper_agent     # needs benchmarks/requirements.txt

stable-baselines3's PPO with its defaults but for the numbers below, stopped when it hops well
enough to be copied, long before it is as good as it can be. What it learned is a file of the
benchmark, because the same seed gives other weights on another processor.
"""

import numpy as np
import torch
from safetensors.numpy import save_file

from benchmarks.finetuning.locomotion_tasks import AGENT, make_hopper

STEPS, SEED = 150_000, 0
ENVS, BATCH = 4, 256  # of 512 steps each before an update: the default's 2,048 in all


def main() -> None:
    """Train, and write the policy's weights and the statistics of what it observed."""
    from stable_baselines3 import PPO
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    torch.set_num_threads(1)
    envs = VecNormalize(make_vec_env(make_hopper, n_envs=ENVS, seed=SEED))
    settings = {"n_steps": 2048 // ENVS, "batch_size": BATCH, "seed": SEED, "device": "cpu"}
    agent = PPO("MlpPolicy", envs, **settings).learn(STEPS)
    body = agent.policy.mlp_extractor.policy_net.state_dict()
    head = {f"action.{key}": value for key, value in agent.policy.action_net.state_dict().items()}
    weights = {key: value.numpy().copy() for key, value in (body | head).items()}
    seen = envs.obs_rms
    weights |= {"mean": seen.mean, "std": np.sqrt(seen.var + envs.epsilon)}
    save_file({key: value.astype(np.float32) for key, value in weights.items()}, AGENT)
    print(AGENT)


if __name__ == "__main__":
    main()
