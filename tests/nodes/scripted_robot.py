"""A robot whose sensors, clock and services do what a test says, on a real graph.

The physics are MuJoCo's; what a simulation node would never do (fall silent, repeat itself, stamp
wrongly, jump back in time) is up to the test. The policy node under test is a real process.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from by_hand import ACTIVATE, CLEANUP, CONFIGURE, DEACTIVATE, Operator
from graphs import own_graph
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue, SetParametersResult
from rcl_interfaces.srv import SetParameters
from rosgraph_msgs.msg import Clock
from running import System
from std_msgs.msg import String
from std_srvs.srv import Trigger

from porl_ros.nodes import messages
from porl_ros.nodes.bringup.description import NodeSpec
from porl_ros.nodes.bringup.processes import NodeProcesses
from porl_ros.nodes.watching.monitor import Monitor
from porl_ros.simulation.robot import SimulatedRobot

TICK = 20_000_000  # ns between two messages of a sensor
KINDS = {
    str: (ParameterType.PARAMETER_STRING, "string_value"),
    float: (ParameterType.PARAMETER_DOUBLE, "double_value"),
    int: (ParameterType.PARAMETER_INTEGER, "integer_value"),
}


class ScriptedRobot:
    """Paced by the test: time passes only in `run`. `commands` holds (stamp, joint positions)."""

    def __init__(self, system: System, config):
        self.system, self.config, self.robot = system, config, SimulatedRobot(config)
        self.node, self.operator = system.monitor.node, Operator(system)
        self.now, self.resets = 1_000_000_000_000, 0
        self.commands: list[tuple[int, np.ndarray]] = []
        self.heard_at: list[float] = []  # when each came, s of time.monotonic()
        self.states: list[dict] = []
        self.silent: set[str] = set()  # sources that say nothing
        self.broken = False  # a joint is measured where it cannot be
        self._substeps = round(TICK / 1e9 / self.robot.scene.timestep)
        self._clock = self.node.create_publisher(Clock, "/clock", messages.qos(reliable=False))
        self.sensors = {
            s.name: self.node.create_publisher(
                messages.MESSAGES[s.type], s.topic, messages.sensor_qos(lockstep=False)
            )
            for s in config.observation.sources
        }
        self.node.create_subscription(
            String, "policy/state", self._on_state, messages.LATCHED_EVENTS
        )
        self.node.create_service(Trigger, "reset", self._on_reset)
        self.node.create_service(SetParameters, "simulation/set_parameters", _accept)
        self._subscription = None
        self.listen()

    # Time

    def run(self, periods: int = 1) -> None:
        """Let control periods pass, with all sensors but the silent ones at work."""
        for _ in range(periods * round(self.config.period_ns / TICK)):
            self.pass_time(TICK)

    def pass_time(self, ns: int, sensors_first: bool = False) -> None:
        """Let the clock jump, and say what is measured then."""
        self.now += ns
        self.robot.advance(self.robot.command, self._substeps)
        if sensors_first:
            self.sense()
            self.sync()
        clock = Clock()
        messages.set_stamp(clock.clock, self.now)
        self._clock.publish(clock)
        if not sensors_first:
            self.sense()
        self.spin()

    def sense(self, **stamps: int) -> None:
        """Publish what is measured, stamped with now or as given by source."""
        for name, message in self.measured().items():
            if name not in self.silent:
                messages.set_stamp(message.header.stamp, stamps.get(name, self.now))
                self.sensors[name].publish(message)

    def say_once(self, **stamps: int) -> None:
        """Publish what is measured by its own, so that no other sample takes its place."""
        self.sync()
        self.sense(**stamps)
        self.sync()

    def measured(self) -> dict[str, object]:
        """The message of every source, stamped with now."""
        samples = self.robot.samples()
        found = {}
        for source in self.config.observation.sources:
            sample = samples[source.name]._replace(stamp=self.now)
            found[source.name] = messages.from_sample(source, sample)
        if self.broken:
            found["arm"].position[0] = 1e308
        return found

    def spin(self) -> None:
        """Take in what has come."""
        self.system.monitor.spin_once(0.001)
        for _ in range(10):
            self.system.monitor.spin_once(0.0)

    def sync(self) -> None:
        """Returns when the node has handled what was sent to it before: it answers in order."""
        self.operator.state("policy")

    def until(self, condition: Callable[[], object], what: str = "") -> None:
        """Let time pass until the condition holds, within bounds."""
        deadline = time.monotonic() + 30.0
        while not condition():
            assert time.monotonic() < deadline, f"{what}: {self.states[-3:]}\n{self.system.state}"
            self.run()
            self.system.monitor.spin_once(0.01)

    # What the policy side says

    @property
    def state(self) -> tuple[str, str]:
        """What the policy side says it does, and why."""
        return (self.states[-1]["state"], self.states[-1]["reason"]) if self.states else ("", "")

    @property
    def standing(self) -> bool:
        """Whether the last commands were all the same."""
        last = [command for _, command in self.commands[-3:]]
        return all(np.array_equal(command, last[0]) for command in last)

    def said(self, state: str, reason: str, since: int = 0) -> bool:
        """Whether it has said so since so many states ago."""
        return any((s["state"], s["reason"]) == (state, reason) for s in self.states[since:])

    def act(self, commands: int = 3) -> None:
        """Let the policy act so many times, undisturbed."""
        goal = len(self.commands) + commands
        self.until(lambda: self.state == ("acting", "") and len(self.commands) >= goal, "act")

    # What an operator does

    def configure(self, **parameters: str | float | int) -> None:
        """Take the node down, change parameters, and bring it up again."""
        if self.operator.state("policy") == 3:
            self.operator.change("policy", DEACTIVATE, CLEANUP)
        self.set(**parameters)
        assert self.operator.change("policy", CONFIGURE, ACTIVATE) == [True, True]

    def set(self, **parameters: str | float | int) -> None:
        made = []
        for name, value in parameters.items():
            kind, field = KINDS[type(value)]
            made.append(Parameter(name=name, value=ParameterValue(type=kind, **{field: value})))
        request = SetParameters.Request(parameters=made)
        answer = self.operator.call(SetParameters, "policy/set_parameters", request)
        assert all(result.successful for result in answer.results)

    def trigger(self, service: str) -> str:
        answer = self.operator.call(Trigger, service, Trigger.Request())
        assert answer.success, answer.message
        return answer.message

    def listen(self) -> None:
        """Obey commands, as a robot's controller does."""
        if self._subscription:
            return
        command = self.config.action.command
        self._subscription = self.node.create_subscription(
            messages.MESSAGES[command.type], command.topic, self._on_command,
            messages.qos(reliable=True, depth=1000),
        )  # fmt: skip

    def turn_deaf(self) -> None:
        self.node.destroy_subscription(self._subscription)
        self._subscription = None

    def _on_command(self, message) -> None:
        command, stamp = messages.from_command(self.config, message)
        self.commands.append((stamp, command))
        self.heard_at.append(time.monotonic())
        self.robot.advance(command, 0)

    def _on_state(self, message: String) -> None:
        self.states.append(json.loads(message.data))

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response):
        self.resets += 1
        self.robot.reset(self.resets)
        self.now += TICK
        response.success, response.message = True, str(self.now)
        return response


def _accept(request: SetParameters.Request, response: SetParameters.Response):
    response.results = [SetParametersResult(successful=True) for _ in request.parameters]
    return response


@contextmanager
def scripted_robot(folder: Path, config, base: Path, **parameters) -> Iterator[ScriptedRobot]:
    """The robot and an unconfigured policy node, paced by the robot's clock."""
    own = {"bundle": str(base), "store": str(folder / "store"), "mode": "paced"}
    own |= {"use_sim_time": True, "autostart": False, "learner": False, "explore": False}
    spec = NodeSpec("policy_node", "policy", own | parameters)
    with own_graph(), NodeProcesses([spec], folder / "nodes") as nodes, Monitor() as monitor:
        yield ScriptedRobot(System(folder, nodes, monitor), config)
