"""What the safety filter costs per control step, and what limits of acceleration do to the experts.

`python -m benchmarks.safety_filter`; writes benchmarks/results/safety_filter.json.
"""

import statistics
import time
from collections.abc import Callable, Iterable

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.machine import write_results
from porl_ros.robot.config import RobotConfig
from porl_ros.robot.kinematics import ArmKinematics
from porl_ros.robot.loading import load_robot
from porl_ros.robot.safety import Limit, Motion, SafetyFilter
from porl_ros.simulation.env import RobotEnv
from porl_ros.simulation.experts import make_expert

ROUNDS, CALLS = 7, 1000
RATES = (10.0, 100.0, 500.0)
CELLS = {"ur5e_insert": "calibrated", "ur5e_lift": "nominal"}
ACCELERATIONS = (3.14, 5.0, 8.0, 12.0)  # rad/s^2 of the arm's joints
EPISODES, NOISE = 30, 0.2


def main() -> None:
    """Print both tables, write the results."""
    costs, experts = measure_costs(), measure_experts()
    table = Table("control rate", "case", "median us", "of rounds", title="Cost of one call")
    for cost in costs:
        spread = f"{min(cost['us']):.0f} to {max(cost['us']):.0f}"
        table.add_row(f"{cost['rate']:.0f}", cost["case"], f"{cost['median']:.0f}", spread)
    Console().print(table)
    table = Table("robot", "rad/s^2", "noise", "success", "steps changed", "steps an episode")
    for row in experts:
        table.add_row(
            row["robot"], f"{row['acceleration']:g}", f"{row['noise']:g}",
            f"{row['success']:.2f}", f"{row['changed']:.1%}", f"{row['length']:.1f}",
        )  # fmt: skip
    Console().print(table)
    print(write_results("safety_filter", {"costs": costs, "experts": experts}))


def measure_costs() -> list[dict]:
    """Medians of interleaved rounds, us a call."""
    cases = {}
    for rate in RATES:
        cases |= {(rate, name): case for name, case in _cases(rate).items()}
    times = {key: [] for key in cases}
    for _ in range(ROUNDS):
        for key, (function, arguments) in cases.items():
            times[key].append(_median_us(function, arguments))
    return [
        {"rate": rate, "case": case, "median": statistics.median(us), "us": us}
        for (rate, case), us in times.items()
    ]


def _cases(rate: float) -> dict[str, tuple[Callable, list[tuple]]]:
    """What is timed: a function, and the arguments of its calls."""
    robot, rng = _robot("ur5e_insert", control_rate=rate), np.random.default_rng(0)
    arm = ArmKinematics(robot.kinematics)
    safety, home = SafetyFilter(robot, arm), arm.home
    rest = Motion.standing(home)
    limits = [robot.safety.joints[joint].acceleration for joint in robot.command_joints]
    small = 0.5 * np.array(limits) / rate**2
    moving = Motion(home, 2 * small, small)
    allowed = [(home + small * rng.uniform(-1, 1, 6), rest, home) for _ in range(CALLS)]
    wild = [(home + rng.uniform(-1, 1, 6), rest, home) for _ in range(CALLS)]
    at_side = _driven_down(safety, arm, rate)
    at_side = (at_side * (CALLS // len(at_side) + 1))[:CALLS]
    return {
        "forward kinematics alone": (arm.tool_position, [(home,)] * CALLS),
        "filter: within all limits": (safety.filter, allowed),
        "filter: changed": (safety.filter, wild),
        "filter: held by the workspace": (safety.filter, at_side),
        "filter: ramp down": (safety.ramp_down, [(moving,)] * CALLS),
    }


def _driven_down(safety: SafetyFilter, arm: ArmKinematics, rate: float) -> list[tuple]:
    """What is asked for while the tool is pushed down into the floor of the workspace."""
    motion, calls = Motion.standing(arm.home), []
    for _ in range(int(6 * rate)):
        tool = arm.tool_position(motion.position)
        down = arm.solve(motion.position, tool - [0.0, 0.0, 0.15 / rate])
        call = down, motion, motion.position
        result = safety.filter(*call)
        if Limit.WORKSPACE in result.interventions:
            calls.append(call)
        motion = result.motion
    return calls


def _median_us(function: Callable, arguments: Iterable[tuple]) -> float:
    times = []
    for call in arguments:
        start = time.perf_counter_ns()
        function(*call)
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1e3


def measure_experts() -> list[dict]:
    """How often the filter acts on the scripted experts, and what they still achieve."""
    return [
        {"robot": name, "acceleration": limit, "noise": noise} | _episodes(name, limit, noise)
        for name in CELLS
        for limit in ACCELERATIONS
        for noise in (0.0, NOISE)
    ]


def _episodes(name: str, acceleration: float, noise: float) -> dict:
    env = RobotEnv(_robot(name, acceleration), CELLS[name])
    expert, rng = make_expert(env), np.random.default_rng(0)
    changed, success = [], []
    for seed in range(EPISODES):
        env.reset(seed=seed)
        ended = False
        while not ended:
            action = expert() + noise * rng.standard_normal(env.action_space.shape)
            _, _, terminated, truncated, info = env.step(action)
            changed.append(bool(info["act"].interventions))
            ended = terminated or truncated
        success.append(terminated)
    return {
        "success": float(np.mean(success)),
        "changed": float(np.mean(changed)),
        "length": len(changed) / EPISODES,
    }


def _robot(
    name: str, acceleration: float | None = None, control_rate: float | None = None
) -> RobotConfig:
    """A shipped robot with another limit of the arm's acceleration, or at another rate."""
    content = load_robot(name).model_dump(mode="json")
    for joint in content["kinematics"]["joints"]:
        if acceleration:
            content["safety"]["joints"][joint]["acceleration"] = acceleration
    content["control_rate"] = control_rate or content["control_rate"]
    return RobotConfig.model_validate(content)


if __name__ == "__main__":
    main()
