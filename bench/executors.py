# SPDX-License-Identifier: Apache-2.0
"""The executors that are compared, by name."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup, ReentrantCallbackGroup
from rclpy.executors import Executor, MultiThreadedExecutor, SingleThreadedExecutor


def is_available(name: str) -> bool:
    """Say whether this ROS distribution has the executor; Humble has no EventsExecutor."""
    return name != 'events' or find_spec('rclpy.experimental') is not None


def executor(name: str) -> Any:
    """Return a new executor for the default context: single, multi, reentrant or events."""
    make: dict[str, Callable[[], Executor]] = {
        'single': SingleThreadedExecutor,
        'multi': lambda: MultiThreadedExecutor(num_threads=2),
        'reentrant': lambda: MultiThreadedExecutor(num_threads=2),
        'events': _events_executor,
    }
    return make[name]()


def callback_group(name: str) -> Any:
    """Return the callback group that an entity of its own gets with this executor."""
    return ReentrantCallbackGroup() if name == 'reentrant' else MutuallyExclusiveCallbackGroup()


def _events_executor() -> Any:
    from rclpy.experimental import EventsExecutor
    return EventsExecutor()
