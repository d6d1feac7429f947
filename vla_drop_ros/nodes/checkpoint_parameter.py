# SPDX-License-Identifier: Apache-2.0
"""The parameter ``checkpoint``: takes what is accepted, and says what answers."""

from collections.abc import Callable

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from vla_drop_ros.errors import VlaDropError


class CheckpointParameter:
    """Asks before it takes a value; a refusal carries the reason to whoever set it."""

    def __init__(self, node: Node, accept: Callable[[str, bool], None]) -> None:
        """Listen to the parameters of a node.

        Args:
            node: with the parameters ``checkpoint`` and ``other_normalization``, declared.
            accept: takes a value of ``checkpoint`` and whether its normalisation may be another
                one than that of the running policy; raises VlaDropError to refuse.

        """
        self._node = node
        self._accept = accept
        self._correcting = False
        node.add_on_set_parameters_callback(self._on_set)

    @property
    def value(self) -> str:
        """Return the value in force."""
        return str(self._node.get_parameter('checkpoint').value)

    def correct(self, value: str) -> None:
        """Let the parameter say what runs, not what was wished for."""
        if self.value != value:
            self._correcting = True
            self._node.set_parameters([Parameter('checkpoint', value=value)])
            self._correcting = False

    def _on_set(self, parameters: list[Parameter]) -> SetParametersResult:
        allowed = self._node.get_parameter('other_normalization').value
        for changed in parameters:
            if changed.name == 'other_normalization':  # set at once with the checkpoint
                allowed = changed.value
        for changed in parameters:
            if changed.name == 'checkpoint' and not self._correcting:
                try:
                    self._accept(changed.value, bool(allowed))
                except VlaDropError as error:
                    return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)
