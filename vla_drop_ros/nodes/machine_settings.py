# SPDX-License-Identifier: Apache-2.0
"""With which parameters policy node and gate run: what the log of a study keeps of them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python
from rclpy.parameter_client import AsyncParameterClient
from rclpy.task import Future

# The token of a trial, and what is said of the study as a whole.
LEFT_OUT = ('checkpoint', 'study', 'instruction', 'autostart', 'start_type_description_service')
OVERRIDES = 'qos_overrides.'
Keep = Callable[[str, Mapping[str, Any]], object]


class MachineSettings:
    """Asks each node once for its parameters, again when it comes back."""

    def __init__(self, node: Node, names: Sequence[str]) -> None:
        """Ask through ``node``.

        Args:
            node: of the trials.
            names: of the nodes that are asked.

        """
        self._clients = {name: AsyncParameterClient(node, name) for name in names}
        self._asked: set[str] = set()
        self._answers: list[tuple[str, dict[str, Any]]] = []

    def work(self, keep: Keep) -> None:
        """Ask who has appeared, and hand over what was answered since.

        Args:
            keep: takes name and parameters of a node; what it raises, is raised here, and the
                answer is handed over again.

        """
        for name, client in self._clients.items():
            ready = client.services_are_ready()
            if ready and name not in self._asked:
                client.list_parameters().add_done_callback(partial(self._on_names, name))
            (self._asked.add if ready else self._asked.discard)(name)
        while self._answers:
            keep(*self._answers[0])
            self._answers.pop(0)

    def _on_names(self, name: str, future: Future) -> None:
        response = future.result()
        names = [] if response is None else sorted(
            one for one in response.result.names
            if one not in LEFT_OUT and not one.startswith(OVERRIDES))
        if names:
            self._clients[name].get_parameters(names).add_done_callback(
                partial(self._on_values, name, names))

    def _on_values(self, name: str, names: Sequence[str], future: Future) -> None:
        response = future.result()
        if response is not None:
            self._answers.append((name, {
                one: _plain(parameter_value_to_python(value))
                for one, value in zip(names, response.values, strict=True)}))


def _plain(value: Any) -> Any:
    """Return what JSON can hold: parameter arrays are no lists."""
    return value if isinstance(value, str | bytes) or not hasattr(value, '__iter__') else list(
        value)
