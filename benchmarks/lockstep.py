"""How many control steps a second lock-step makes, and where the time goes.

Three ways, in one run: the environment in process (physics, kinematics, policy; no ROS), a bare
rclpy echo of the same messages between two processes (the floor of DDS and Python), and the real
thing: simulation node, policy node with recording, and a fine-tuning node that is paused.
"""

import contextlib
import multiprocessing
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import write_results
from porl_ros.nodes.bringup.description import SimulationBringup
from porl_ros.nodes.bringup.processes import NodeProcesses
from porl_ros.nodes.graph import private_domain
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.policy.bundle import save_bundle
from porl_ros.policy.network import Actor, NumpyActor
from porl_ros.robot.loading import load_robot
from porl_ros.simulation.env import RobotEnv

ROBOT = "ur5e_insert"
SECONDS, ROUNDS = 5.0, 3


def main() -> None:
    """Print the table, write benchmarks/results/lockstep.json."""
    private_domain()
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "base"
        _random_policy(base)
        rates = {
            "in process, no ROS": [_in_process() for _ in range(ROUNDS)],
            "bare rclpy echo, 3 messages out and 1 back": _echo(),
            "nodes over DDS, recording, learner paused": _nodes(base, Path(folder)),
        }
    table = Table("control steps a second", "median", "min", "max")
    for name, values in rates.items():
        row = statistics.median(values), min(values), max(values)
        table.add_row(name, *(f"{value:.0f}" for value in row))
    Console().print(table)
    print(write_results("lockstep", {"unit": "steps/s", "seconds": SECONDS, "rates": rates}))


def _random_policy(path: Path) -> None:
    config = load_robot(ROBOT)
    env = RobotEnv(config)
    actor = Actor(env.observation_space.shape[0], env.action_space.shape[0])
    save_bundle(path, actor, config.contract, made_by="bench", version=0, exploration_std=0.2)


def _in_process() -> float:
    env = RobotEnv(ROBOT)
    policy = NumpyActor(Actor(env.observation_space.shape[0], env.action_space.shape[0]))
    rng, steps, episode = np.random.default_rng(0), 0, 0
    begun = time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        observation, _ = env.reset(seed=episode)
        episode, ended = episode + 1, False
        while not ended:
            action = policy(observation) + 0.2 * rng.standard_normal(3, dtype=np.float32)
            observation, _, terminated, truncated, _ = env.step(action)
            steps, ended = steps + 1, terminated or truncated
    return steps / (time.perf_counter() - begun)


def _echo() -> list[float]:
    context = multiprocessing.get_context("spawn")
    answering = context.Process(target=_answer, daemon=True)
    answering.start()
    try:
        return _ask()
    finally:
        answering.terminate()
        answering.join()


def _executor(node):
    from rclpy.experimental import EventsExecutor

    executor = EventsExecutor()
    executor.add_node(node)
    return executor


def _answer() -> None:
    import rclpy
    from geometry_msgs.msg import PoseStamped
    from sensor_msgs.msg import JointState
    from std_msgs.msg import Float64MultiArray

    from porl_ros.nodes.messages import COMMAND

    rclpy.init()
    node = rclpy.create_node("answering")
    publisher = node.create_publisher(Float64MultiArray, "echo/command", COMMAND)
    node.create_subscription(JointState, "echo/joints", lambda message: None, COMMAND)
    reply = Float64MultiArray(data=[0.0] * 6)
    node.create_subscription(
        PoseStamped, "echo/pose", lambda message: publisher.publish(reply), COMMAND
    )
    executor = _executor(node)
    with contextlib.suppress(rclpy.executors.ExternalShutdownException):  # SIGTERM from the parent
        while rclpy.ok():
            executor.spin_once(timeout_sec=0.1)


def _ask() -> list[float]:
    import rclpy
    from geometry_msgs.msg import PoseStamped
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import JointState
    from std_msgs.msg import Float64MultiArray

    from porl_ros.nodes.messages import COMMAND

    rclpy.init()
    node = rclpy.create_node("asking")
    kinds = ((Clock, "echo/clock"), (JointState, "echo/joints"), (PoseStamped, "echo/pose"))
    publishers = [node.create_publisher(kind, topic, COMMAND) for kind, topic in kinds]
    joints = JointState(name=[f"joint_{i}" for i in range(6)], position=[0.0] * 6)
    joints.velocity = [0.0] * 6
    count = 0

    def send(message=None) -> None:
        nonlocal count
        count += message is not None
        for publisher, content in zip(publishers, (Clock(), joints, PoseStamped()), strict=True):
            publisher.publish(content)

    node.create_subscription(Float64MultiArray, "echo/command", send, COMMAND)
    executor = _executor(node)
    _spin_until(executor, lambda: count > 0, send)
    rates = [_rate(executor, lambda: count) for _ in range(ROUNDS)]
    node.destroy_node()
    rclpy.shutdown()
    return rates


def _spin_until(executor, done, nudge) -> None:
    deadline = time.monotonic() + 15.0
    while not done() and time.monotonic() < deadline:
        nudge()
        executor.spin_once(timeout_sec=0.2)


def _rate(executor, count) -> float:
    begun, first = time.perf_counter(), count()
    while time.perf_counter() - begun < SECONDS:
        executor.spin_once(timeout_sec=0.1)
    return (count() - first) / (time.perf_counter() - begun)


def _nodes(base: Path, folder: Path) -> list[float]:
    bringup = SimulationBringup(
        robot_config=ROBOT,
        bundle=str(base),
        store=str(folder / "store"),
        output=str(folder / "out"),
    )
    with NodeProcesses(bringup.nodes(), folder / "nodes") as nodes, Monitor() as monitor:
        monitor.wait_for(lambda: monitor.policy_steps > 0, 60.0, nodes.check)
        monitor.pause_learner(True)
        monitor.wait_for(lambda: monitor.learner.get("stage") == "paused", 10.0, nodes.check)
        return [_node_rate(monitor) for _ in range(ROUNDS)]


def _node_rate(monitor: Monitor) -> float:
    """From the first to the last count of steps that arrives: one comes with every episode."""
    seen: list[tuple[float, int]] = []
    deadline = time.perf_counter() + SECONDS
    while time.perf_counter() < deadline:
        before = monitor.policy_steps
        monitor.spin_once(0.1)
        if monitor.policy_steps != before:
            seen.append((time.perf_counter(), monitor.policy_steps))
    (t0, s0), (t1, s1) = seen[0], seen[-1]
    return (s1 - s0) / (t1 - t0)


if __name__ == "__main__":
    main()
