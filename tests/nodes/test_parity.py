"""What a policy sees and does in process, it sees and does through the nodes."""

import numpy as np
import pytest
from by_hand import ACTIVATE, CONFIGURE, Operator
from running import read_rows, running

from porl_ros.nodes import messages
from porl_ros.policy.bundle import load_bundle
from porl_ros.policy.network import NumpyActor
from porl_ros.simulation.env import SEEDS_APART, RobotEnv

pytestmark = pytest.mark.slow

EPISODES, SEED, TOLERANCE = 5, 7, 1e-5


def in_process(config, base) -> dict[str, np.ndarray]:
    """The episodes through the Gymnasium environment, with the columns that the store has too."""
    env, policy = RobotEnv(config), NumpyActor(load_bundle(base, config).actor)
    rows = {"observation": [], "action": [], "command": [], "episode": [], "reward": []}
    for episode in range(EPISODES):
        observation, _ = env.reset(seed=SEED * SEEDS_APART + episode)
        ended = False
        while not ended:
            following, reward, terminated, truncated, info = env.step(policy(observation))
            act, ended = info["act"], terminated or truncated
            step = (observation, act.executed, act.command, episode, reward)
            for column, value in zip(rows.values(), step, strict=True):
                column.append(value)
            observation = following
    return {name: np.array(column) for name, column in rows.items()}


def test_five_episodes_in_process_and_through_the_nodes_are_the_same(tmp_path, config, base):
    expected = in_process(config, base)
    commands = {}

    def on_command(message) -> None:
        command, stamp = messages.from_command(config, message)
        commands[stamp] = command

    steps = len(expected["episode"])
    options = {"learner": False, "explore": False, "seed": SEED}
    own = {"max_steps": steps, "autostart": False}
    with running(tmp_path, base, extra=own, **options) as system:
        kind = messages.MESSAGES[config.action.command.type]
        topic = config.action.command.topic
        deep = messages.qos(reliable=True, depth=1000)
        system.monitor.node.create_subscription(kind, topic, on_command, deep)
        operator = Operator(system)
        assert operator.change("policy", CONFIGURE) == [True]
        system.wait_for(lambda: system.monitor.node.count_publishers(topic))
        assert operator.change("policy", ACTIVATE) == [True]
        # published at the end of an episode, and the last one ends with the last step
        system.wait_for(lambda: system.monitor.policy_steps == steps)
        assert system.nodes.stop() == {"policy": 0, "simulation": 0}
        system.monitor.wait_for(lambda: len(commands) == steps, 3.0)  # what is on its way
    rows = read_rows(tmp_path / "store")
    assert len(rows["episode"]) == steps
    assert np.array_equal(rows["episode"], expected["episode"])
    assert np.array_equal(rows["reward"], expected["reward"])
    for name in ("observation", "action"):
        assert np.abs(rows[name] - expected[name]).max() <= TOLERANCE, name
    stamps = rows["stamp"].tolist()
    heard = [i for i, stamp in enumerate(stamps) if stamp in commands]
    assert len(heard) > steps / 2  # the publisher may have found this process a little later
    for i in heard:
        assert np.abs(commands[stamps[i]] - expected["command"][i]).max() <= TOLERANCE
