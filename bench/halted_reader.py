# SPDX-License-Identifier: Apache-2.0
"""Can a process that only sends be held up by one that reads and is halted?

  python -m bench.halted_reader --halts 400

A reader is halted with SIGSTOP while it is sent to as fast as possible. Through shared memory the
sender waits where the reader was halted with the lock of its port in its hands, until the reader
goes on (for ever, if it was killed); over UDP it never does. So the command gate uses UDP.
"""

import argparse
from collections.abc import Sequence
import os
import signal
import subprocess
import sys
import threading
import time

from rich.progress import track

from vla_drop_ros.bringup import leave_shared_memory
from vla_drop_ros.preflight import private_domain
from vla_drop_ros.resources import share_path
from vla_drop_ros.shared_memory import profile_variable

HELD_UP = 0.5  # [s] in one publish(); a busy machine is not so long about it
HALT = 1.0     # [s] until the reader goes on, if the sender waits so long
TRANSPORTS = SHARED_MEMORY, UDP = 'shared memory', 'udp'
READER = """
import rclpy
from std_msgs.msg import Float64
rclpy.init()
node = rclpy.create_node('reader')
node.create_subscription(Float64, 'numbers', lambda message: None, 1)
print('ready', flush=True)
rclpy.spin(node)
"""


def count_stalls(transport: str, halts: int) -> int:
    """Return in how many of ``halts`` the sender waited for the reader; in this process.

    Args:
        transport: of the sender, see ``TRANSPORTS``. The reader has shared memory.
        halts: of the reader.

    """
    os.environ[profile_variable()] = str(share_path('config', 'fastdds_shm.xml'))
    reader = subprocess.Popen(
        [sys.executable, '-c', READER], stdout=subprocess.PIPE, text=True)
    if transport == UDP:
        leave_shared_memory()
    import rclpy
    from std_msgs.msg import Float64
    rclpy.init()
    node = rclpy.create_node('sender')
    publisher = node.create_publisher(Float64, 'numbers', 1)

    def longest(duration: float) -> float:
        end, worst = time.monotonic() + duration, 0.0
        while (before := time.monotonic()) < end:
            publisher.publish(Float64())
            worst = max(worst, time.monotonic() - before)
        return worst

    try:
        assert reader.stdout is not None and reader.stdout.readline()
        while not publisher.get_subscription_count():
            time.sleep(0.05)
        stalls = 0
        for _ in track(range(halts), f'halting the reader, {transport}', transient=True):
            longest(0.05)
            reader.send_signal(signal.SIGSTOP)
            rescue = threading.Timer(HALT, reader.send_signal, [signal.SIGCONT])
            rescue.start()
            stalls += longest(0.15) > HELD_UP
            rescue.cancel()
            reader.send_signal(signal.SIGCONT)
    finally:
        reader.kill()
        reader.wait()
        node.destroy_node()
        rclpy.try_shutdown()
    return stalls


def main(argv: Sequence[str] | None = None) -> int:
    """Count for both transports, each in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--halts', type=int, default=400, help='by each transport (default: 400)')
    parser.add_argument('--only', choices=TRANSPORTS, help='only this; prints the count')
    args = parser.parse_args(argv)
    if args.only:
        print(count_stalls(args.only, args.halts))
        return 0
    for transport in TRANSPORTS:
        with private_domain():
            said = subprocess.run(
                [sys.executable, '-m', 'bench.halted_reader', '--halts', str(args.halts),
                 '--only', transport], stdout=subprocess.PIPE, text=True, check=True).stdout
        print(f'{transport}: the sender waited more than {HELD_UP} s in '
              f'{int(said.splitlines()[-1])} of {args.halts} halts')
    return 0


if __name__ == '__main__':
    sys.exit(main())
