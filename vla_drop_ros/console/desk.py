# SPDX-License-Identifier: Apache-2.0
"""What the console needs of whoever conducts the study."""

from collections.abc import Mapping
from typing import Any, Protocol

from vla_drop_ros.trials.conductor import Reply, Verb


class Desk(Protocol):
    """Where the presses of the console arrive; every method is called from other threads.

    Calls may come at the same time and may block for some seconds: the page shows that it waits.
    """

    def state(self) -> Mapping[str, Any]:
        """Return what people may see, as plain JSON types; nothing in it tells the arm."""
        ...

    def press(self, verb: Verb) -> Reply:
        """Do what somebody pressed, or say why not.

        Raises:
            TrialError: it could not be written down; nothing has changed.

        """
        ...

    def camera(self) -> bytes | None:
        """Return the newest picture of the scene as JPEG; None when there is no fresh one."""
        ...

    def reference(self) -> bytes | None:
        """Return the arranged scene of the current condition as JPEG; None without one."""
        ...

    def report_hostile(self, what: str, address: str) -> None:
        """Write down a request that was turned away.

        Args:
            what: why, printable and short.
            address: where it came from, host and port.

        """
        ...
