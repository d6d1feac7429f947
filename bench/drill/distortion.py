# SPDX-License-Identifier: Apache-2.0
"""What can go wrong with a stream: each distortion is a rule for what follows a message."""

from collections import deque
from collections.abc import Callable, Mapping
import copy
from types import MappingProxyType
from typing import Any

NANOSECONDS = 1_000_000_000
LAG = 1.0       # [s] by which a lagging stream is late
AHEAD = 10.0    # [s] by which a stamp lies in the future
TOO_LARGE = 2   # factor of a resized image

Output = list[Any]


def shift(message: Any, seconds: float) -> Any:
    """Move the stamp of a message, [s]."""
    stamp = message.header.stamp
    total = stamp.sec * NANOSECONDS + stamp.nanosec + round(seconds * NANOSECONDS)
    stamp.sec, stamp.nanosec = divmod(max(total, 0), NANOSECONDS)
    return message


class Distortion:
    """A stream in the making: messages go in, what the robot's computer hears comes out."""

    def __init__(self, name: str = 'pass') -> None:
        """Take one of ``DISTORTIONS``."""
        self._apply = DISTORTIONS[name]
        self.held: deque[Any] = deque()
        self.last: Any = None

    def __call__(self, message: Any) -> Output:
        """Return what follows a message."""
        return self._apply(self, message)


def _pass(state: Distortion, message: Any) -> Output:
    return [message]


def _stop(state: Distortion, message: Any) -> Output:
    return []


def _freeze(state: Distortion, message: Any) -> Output:
    """Repeat the first message, stamp and all."""
    state.last = state.last or message
    return [state.last]


def _freeze_fresh(state: Distortion, message: Any) -> Output:
    """Repeat the content of the first message under ever new stamps."""
    state.last = state.last or message
    repeated = copy.deepcopy(state.last)
    repeated.header.stamp = message.header.stamp
    return [repeated]


def _lag(state: Distortion, message: Any) -> Output:
    """Hand messages on ``LAG`` seconds late, with the stamps that they had."""
    state.held.append(message)
    due = []
    stamp = message.header.stamp.sec + message.header.stamp.nanosec / NANOSECONDS
    while state.held:
        first = state.held[0].header.stamp
        if stamp - (first.sec + first.nanosec / NANOSECONDS) < LAG:
            break
        due.append(state.held.popleft())
    return due


def _resize(state: Distortion, message: Any) -> Output:
    """Send an image of another size that is correct in itself."""
    message.height, message.width = message.height * TOO_LARGE, message.width * TOO_LARGE
    message.step *= TOO_LARGE
    data = message.data
    for _ in range(TOO_LARGE * TOO_LARGE - 1):
        data = data + message.data
    message.data = data
    return [message]


def _truncate(state: Distortion, message: Any) -> Output:
    """Send fewer bytes than the size says."""
    message.data = message.data[:len(message.data) // 2]
    return [message]


def _encoding(state: Distortion, message: Any) -> Output:
    message.encoding = 'yuv999'
    return [message]


def _stamp_zero(state: Distortion, message: Any) -> Output:
    message.header.stamp.sec = message.header.stamp.nanosec = 0
    return [message]


def _stamp_future(state: Distortion, message: Any) -> Output:
    return [shift(message, AHEAD)]


def _not_a_number(state: Distortion, message: Any) -> Output:
    if hasattr(message, 'pose'):
        message.pose.position.x = float('nan')
    else:
        message.position = [float('nan')] * len(message.position)
    return [message]


def _frame(state: Distortion, message: Any) -> Output:
    message.header.frame_id = 'another_frame'
    return [message]


def _nameless(state: Distortion, message: Any) -> Output:
    """Send joint states that lack every name and value."""
    message.name, message.position, message.velocity = [], [], []
    return [message]


DISTORTIONS: Mapping[str, Callable[[Distortion, Any], Output]] = MappingProxyType({
    'pass': _pass, 'stop': _stop, 'freeze': _freeze, 'freeze_fresh': _freeze_fresh, 'lag': _lag,
    'resize': _resize, 'truncate': _truncate, 'encoding': _encoding, 'stamp_zero': _stamp_zero,
    'stamp_future': _stamp_future, 'nan': _not_a_number, 'frame': _frame, 'nameless': _nameless})
