# SPDX-License-Identifier: Apache-2.0
"""What a study session wants of other nodes: services are called, instructions published."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from rcl_interfaces.srv import SetParameters
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from vla_drop_ros.nodes.qos import LATCHED
from vla_drop_ros.trials import commands

Answer = Callable[[commands.Command, bool, str], None]


class StudyErrands:
    """Does what the session says, and brings it the answers."""

    def __init__(self, node: Node, policy: str, scene: str, reset: str, answer: Answer) -> None:
        """Create clients and publisher.

        Args:
            node: of the trials.
            policy: name of the policy node.
            scene: node whose parameters say which scene comes next; '' for none.
            reset: service that arranges the scene; '' for none.
            answer: takes what became of a command.

        """
        self._policy, self._scene, self._reset = policy, scene, reset
        self._answer = answer
        self._instruction = node.create_publisher(String, 'instruction', LATCHED)
        wanted: list[tuple[Any, str]] = [
            (SetParameters, f'{name}/set_parameters') for name in (policy, scene) if name]
        wanted += [(Trigger, reset)] if reset else []
        self._clients: dict[str, Any] = {
            name: node.create_client(kind, name) for kind, name in wanted}

    def absent(self) -> list[str]:
        """Return the services that are needed and not there."""
        return [name for name, client in self._clients.items() if not client.service_is_ready()]

    def do(self, wanted: Iterable[commands.Command]) -> None:
        """Do what the session wants, in its order."""
        for command in wanted:
            answer = partial(self._on_answer, command)
            if isinstance(command, commands.UseToken):
                self._set_parameters(self._policy, {'checkpoint': command.token}, answer)
            elif isinstance(command, commands.PrepareScene):
                self._set_parameters(self._scene, {
                    'seed': command.seed, 'task': command.task, 'variant': command.variant},
                    answer)
            elif isinstance(command, commands.ResetScene):
                self._clients[self._reset].call_async(
                    Trigger.Request()).add_done_callback(answer)
            elif isinstance(command, commands.SendInstruction):
                self._instruction.publish(String(data=command.text))

    def silence(self) -> None:
        """Publish the empty instruction and wait until it has arrived: the process may end."""
        self._instruction.publish(String(data=''))
        self._instruction.wait_for_all_acked(Duration(seconds=1.0))

    def _set_parameters(self, node: str, values: dict[str, Any],
                        answer: Callable[[Future], None]) -> None:
        request = SetParameters.Request(parameters=[
            Parameter(name, value=value).to_parameter_msg() for name, value in values.items()])
        self._clients[f'{node}/set_parameters'].call_async(request).add_done_callback(answer)

    def _on_answer(self, command: commands.Command, future: Future) -> None:
        response = future.result()
        if isinstance(response, SetParameters.Response):
            reasons = [result.reason for result in response.results if not result.successful]
            self._answer(command, not reasons, '; '.join(reasons))
        elif response is not None:
            self._answer(command, response.success, response.message)
