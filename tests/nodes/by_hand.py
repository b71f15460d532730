"""What an operator's tools do by hand: calling services of the nodes, the lifecycle's above all."""

import rclpy.parameter
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.task import Future
from running import START, System

CONFIGURE, CLEANUP = Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_CLEANUP
ACTIVATE, DEACTIVATE = Transition.TRANSITION_ACTIVATE, Transition.TRANSITION_DEACTIVATE
UNCONFIGURED, INACTIVE = State.PRIMARY_STATE_UNCONFIGURED, State.PRIMARY_STATE_INACTIVE
ACTIVE = State.PRIMARY_STATE_ACTIVE


class Operator:
    """Calls services of the nodes and waits for the answers."""

    def __init__(self, system: System):
        self._system, self._node = system, system.monitor.node
        self._clients = {}

    def client(self, kind, service: str):
        """A client that has found its service."""
        client = self._clients.get(service) or self._node.create_client(kind, service)
        self._clients[service] = client
        self._system.wait_for(client.service_is_ready)
        return client

    def call(self, kind, service: str, request):
        return self._ask(kind, service, request)[0]

    def change(self, node: str, *transitions: int) -> list[bool]:
        """Ask for transitions, one after the other; whether each succeeded."""
        return [self._change(node, transition) for transition in transitions]

    def _change(self, node: str, transition: int) -> bool:
        before = self.state(node)
        request = ChangeState.Request(transition=Transition(id=transition))
        answer, asked = self._ask(ChangeState, f"{node}/change_state", request)
        return answer.success or (asked > 1 and self.state(node) != before)

    def _ask(self, kind, service: str, request):
        """The answer, and how often it was asked for: a node that has not found its client yet, or
        that came after one that was killed, may answer into the void."""
        client = self.client(kind, service)
        for asked in range(1, 9):
            future = client.call_async(request)
            if self._system.monitor.wait_for(future.done, START / 8, self._system.nodes.check):
                return future.result(), asked
        raise AssertionError(f"{service} does not answer\n{self._system.state}")

    def state(self, node: str) -> int:
        return self.call(GetState, f"{node}/get_state", GetState.Request()).current_state.id

    def start_setting(self, node: str, name: str, value: object) -> Future:
        """Ask for a parameter to be set; the answer is awaited elsewhere."""
        parameters = [rclpy.parameter.Parameter(name, value=value).to_parameter_msg()]
        request = SetParameters.Request(parameters=parameters)
        return self.client(SetParameters, f"{node}/set_parameters").call_async(request)

    def set_text(self, node: str, name: str, text: str) -> None:
        value = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=text)
        request = SetParameters.Request(parameters=[Parameter(name=name, value=value)])
        answer = self.call(SetParameters, f"{node}/set_parameters", request)
        assert answer.results[0].successful, answer.results[0].reason
