# SPDX-License-Identifier: Apache-2.0
"""Lifecycle, start and end that the managed nodes share."""

from collections.abc import Callable
import traceback
from typing import Any

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile

from vla_drop_ros.errors import VlaDropError


class ManagedNode(LifecycleNode):
    """A lifecycle node whose hooks may raise, and which always ends with ``deactivate``.

    Subclasses override ``configure``, ``activate``, ``deactivate`` and ``release``. A hook that
    raises VlaDropError fails its transition with the message; anything else goes to error
    processing with a traceback.
    """

    def __init__(self, name: str, **options: Any) -> None:
        """Create the node; ``options`` go to rclpy."""
        super().__init__(name, **options)
        self._refuse_impossible_transitions()
        self.is_active = False
        self.failure = ''
        self._owned: list[Callable[[], object]] = []

    def configure(self) -> None:
        """Create what the node needs; raise VlaDropError to refuse."""

    def activate(self) -> None:
        """Begin to act."""

    def deactivate(self) -> None:
        """Cease to act; the publishers still work."""

    def release(self) -> None:
        """Give back what ``configure`` took, beyond the owned entities."""

    def own(self, destroy: Callable[[Any], object], entity: Any) -> Any:
        """Remember how to destroy an entity at clean-up, and return it."""
        self._owned.append(lambda: destroy(entity))
        return entity

    def own_lifecycle_publisher(self, message: type, topic: str, qos: QoSProfile) -> Any:
        """Return a publisher that is silent unless active and is destroyed at clean-up."""
        return self.own(self.destroy_lifecycle_publisher,
                        self.create_lifecycle_publisher(message, topic, qos))

    def start(self) -> bool:
        """Configure and activate without an outside lifecycle manager; return success."""
        success = TransitionCallbackReturn.SUCCESS
        return bool(self.trigger_configure() == success and self.trigger_activate() == success)

    def close(self) -> None:
        """End safely from any state; the safety action is the last thing published."""
        if self.is_active:
            self.trigger_deactivate()
        self._release_all()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``configure``; what it had created is released when it fails."""
        self.failure = ''
        result = self._guarded('configure', self.configure)
        if result != TransitionCallbackReturn.SUCCESS:
            self._release_all()
        return result

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Open the publishers, then run ``activate``."""
        super().on_activate(state)
        result = self._guarded('activate', self.activate)
        self.is_active = result == TransitionCallbackReturn.SUCCESS
        if not self.is_active:
            super().on_deactivate(state)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Run ``deactivate``, then close the publishers.

        There is no staying active: a refusal is an error, since the node acts no more.
        """
        self.is_active = False
        result = self._guarded('deactivate', self.deactivate)
        super().on_deactivate(state)
        return result if result == TransitionCallbackReturn.SUCCESS else (
            TransitionCallbackReturn.ERROR)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything."""
        self._release_all()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate if active, and release everything."""
        if self.is_active:
            self.on_deactivate(state)
        self._release_all()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop and go back to unconfigured, from where a new configure may succeed."""
        return self.on_shutdown(state)

    def _refuse_impossible_transitions(self) -> None:
        """Answer no to a transition that the state does not allow; rclpy would end the process."""
        service = self._service_change_state
        change = service.callback

        def answer(request: Any, response: Any) -> Any:
            try:
                return change(request, response)
            except RuntimeError as error:  # RCLError is one
                wanted = request.transition.label or request.transition.id
                self.get_logger().warning(f'transition {wanted!r} refused: {error}')
                response.success = False
                return response

        service.callback = answer

    def _release_all(self) -> None:
        self._guarded('release', self.release)
        while self._owned:
            self._owned.pop()()

    def _guarded(self, name: str, hook: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            hook()
        except VlaDropError as error:
            self.failure = str(error)
            self.get_logger().error(f'{name} refused: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # noqa: BLE001 - rclpy would swallow it without a word
            self.failure = f'{type(error).__name__}: {error}'
            self.get_logger().error(f'{name} failed:\n{traceback.format_exc()}')
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS
