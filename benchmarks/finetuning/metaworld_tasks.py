"""Meta-World's tasks with a sparse reward, a random place of object and goal, and its own experts.

What differs from the package: success ends the episode; an action is held for two of its steps;
the observation is one frame, in differences. It pins another MuJoCo than the product, so it is
imported when a task is made (`make metaworld`).
"""

from collections.abc import Callable

import gymnasium
import mujoco
import numpy as np
from gymnasium.spaces import Box

REPEAT = 2  # of Meta-World's steps of 12.5 ms per control step
SCALE = 10.0  # of positions and differences [1/m]: they then vary by about 1
FEATURES = 14
EXPERTS = {"push-v3": "SawyerPushV3Policy", "pick-place-v3": "SawyerPickPlaceV3Policy"}
STATE = mujoco.mjtState.mjSTATE_INTEGRATION  # all that the next step depends on


class MetaWorldEnv(gymnasium.Env):
    """Observation (14,): hand, hand to object, object to goal, object's quaternion, fingers."""

    def __init__(self, scene: str, horizon: int):
        self.scene, self.world = scene, _world(scene)
        self._horizon, self._steps, self.raw = horizon, 0, np.zeros(39)
        self.observation_space = Box(-np.inf, np.inf, (FEATURES,), np.float32)
        self.action_space = Box(-1.0, 1.0, (4,), np.float32)
        # The package moves the hand to its start by a hundred steps at every reset; once is enough.
        mujoco.mj_resetData(self.world.model, self.world.data)
        self.world._reset_hand()
        self._start = np.empty(mujoco.mj_stateSize(self.world.model, STATE))
        mujoco.mj_getState(self.world.model, self.world.data, self._start, STATE)
        self.world._reset_hand = self._reset_hand

    def reset(self, *, seed: int | None = None, options: dict | None = None):
        super().reset(seed=seed)
        self.world.seed(int(self.np_random.integers(2**31)) if seed is None else seed)
        self._steps = self.world.curr_path_length = 0
        # Not its `reset`: that one lays everything out twice.
        self.raw = self.world.reset_model()
        return self._observation(), {}

    def step(self, action: np.ndarray):
        action = np.clip(action, -1.0, 1.0)
        for _ in range(REPEAT - 1):  # as its `step`, but without judging what is not looked at
            self.world.set_xyz_action(action[:3])
            self.world.do_simulation([action[3], -action[3]], self.world.frame_skip)
        self.raw, _, _, _, info = self.world.step(action)
        self._steps += 1
        success = bool(info["success"])
        truncated = self._steps >= self._horizon and not success
        return self._observation(), float(success), success, truncated, {"success": success}

    def _reset_hand(self) -> None:
        mujoco.mj_setState(self.world.model, self.world.data, self._start, STATE)
        mujoco.mj_forward(self.world.model, self.world.data)
        self.world.init_tcp = self.world.tcp_center

    def _observation(self) -> np.ndarray:
        seen = self.raw[[*range(11), -3, -2, -1]]
        hand, fingers, thing, turned, goal = np.split(seen, (3, 4, 7, 11))
        places = SCALE * np.concatenate([hand, thing - hand, goal - thing])
        return np.concatenate([places, turned, fingers]).astype(np.float32)


def make_env(scene: str, horizon: int) -> gymnasium.Env:
    """One of Meta-World's scenes by its name there."""
    return MetaWorldEnv(scene, horizon)


def make_expert(env: MetaWorldEnv) -> Callable[[], np.ndarray]:
    """The package's scripted policy for the scene; ours for the peg."""
    if env.scene == "peg-insert-side-v3":
        return lambda: insert_peg(env.raw)
    from metaworld import policies

    policy = getattr(policies, EXPERTS[env.scene])()
    return lambda: policy.get_action(env.raw)


def insert_peg(raw: np.ndarray) -> np.ndarray:
    """The action (4,) that takes the peg, brings it before the hole and pushes it in.

    As the package's, which succeeds in 53 of 60 episodes: when the peg hangs low in the fingers it
    goes after it, downwards, for ever. This one bears with it.
    """
    hand, fingers, peg = raw[:3], raw[3], raw[4:7]
    hole = np.array([-0.35, raw[-2], 0.16])
    aside, above = np.linalg.norm((hand - peg)[:2]) > 0.04, abs(hand[2] - peg[2])
    held = fingers < 0.5
    if aside:
        wanted = peg + [0.0, 0.0, 0.3]
    elif above > (0.06 if held else 0.025) or fingers > 0.6:
        wanted = peg
    else:
        in_line = np.linalg.norm((peg - hole)[1:]) < 0.03
        wanted = hole + [0.0 if in_line else 0.4, 0.0, 0.0]
    grip = -1.0 if aside or above > 0.15 else 0.6
    return np.append(25.0 * (wanted - hand), grip)


def _world(scene: str):
    from metaworld.env_dict import ALL_V3_ENVIRONMENTS

    world = ALL_V3_ENVIRONMENTS[scene]()
    world._partially_observable = False  # the goal is seen ...
    world.__dict__.pop("sawyer_observation_space", None)  # ... which its bounds must allow
    world._freeze_rand_vec, world.seeded_rand_vec = False, True  # places follow from the seed
    world._set_task_called = True
    return world
