# SPDX-License-Identifier: Apache-2.0
"""Run a module that must not outlive the process that started it.

``python -m vla_drop_ros.lifeline PARENT GRACE MODULE ARGUMENT...``: when the process PARENT (0:
whoever started this) ends, even by SIGKILL, MODULE gets SIGTERM, and GRACE seconds later what is
left of it and of its process group gets SIGKILL.
"""

from collections.abc import Sequence
import os
import runpy
import signal
import sys
import threading

PERIOD = 0.2  # [s] between two looks at the parent


def watch(parent: int, grace: float) -> None:
    """Wait until another process has become our parent, then end.

    Args:
        parent: process that has to live.
        grace: time between SIGTERM to this process and SIGKILL to its group, [s].

    """
    pause = threading.Event()
    while os.getppid() == parent:
        pause.wait(PERIOD)
    os.kill(os.getpid(), signal.SIGTERM)
    pause.wait(grace)
    if os.getpgid(0) == os.getpid():  # else the group is not ours to end
        os.killpg(0, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: Sequence[str]) -> None:
    """Start the watch and become MODULE."""
    parent, grace, module, *rest = arguments
    threading.Thread(target=watch, args=(int(parent) or os.getppid(), float(grace)),
                     daemon=True).start()
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name='__main__', alter_sys=True)


if __name__ == '__main__':
    main(sys.argv[1:])
