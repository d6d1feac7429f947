# SPDX-License-Identifier: Apache-2.0
"""Changes to a live model that can be taken back, so that a drop can be tried without a copy."""

from collections.abc import Callable
from typing import Any

_ABSENT = object()


class Journal:
    """Every change made through it is undone by ``undo``, the last one first."""

    def __init__(self) -> None:
        """Begin with no change."""
        self._steps: list[Callable[[], None]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Set an attribute; it gets back its old value, or goes, on ``undo``."""
        old = getattr(owner, name, _ABSENT)

        def back() -> None:
            if old is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, old)

        setattr(owner, name, value)
        self._steps.append(back)

    def on_undo(self, step: Callable[[], None]) -> None:
        """Run ``step`` when the changes made so far are taken back."""
        self._steps.append(step)

    def undo(self) -> None:
        """Take every change back."""
        while self._steps:
            self._steps.pop()()
