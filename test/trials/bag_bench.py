# SPDX-License-Identifier: Apache-2.0
"""Messages to record, and recordings read back, for several test files."""

from pathlib import Path
import subprocess
import sys
from typing import Any

from vla_drop_ros.trials.bag_writer import Offer, Topic
from vla_drop_ros.trials.message_definitions import message_types

TEXT, NUMBERS = 'std_msgs/msg/String', 'std_msgs/msg/UInt8MultiArray'
INSTRUCTION = Topic('/instruction', TEXT, (Offer(reliable=True, latched=True),))
CAMERA = Topic('/camera', NUMBERS, (Offer(reliable=False, latched=False),))


def text(data: str) -> bytes:
    """Return a std_msgs/String on the wire."""
    types = message_types('jazzy')
    return bytes(types.serialize_cdr(types.types[TEXT](data=data), TEXT))


def picture(number: int, size: int = 100_000) -> bytes:
    """Return a message of ``size`` bytes and a little."""
    import numpy as np
    types = message_types('jazzy').types
    layout = types['std_msgs/msg/MultiArrayLayout'](dim=[], data_offset=0)
    return bytes(message_types('jazzy').serialize_cdr(types[NUMBERS](
        layout=layout, data=np.full(size, number % 256, np.uint8)), NUMBERS))


def read(bag: Path) -> list[tuple[str, int, bytes]]:
    """Return topic, stamp [ns] and bytes of every message."""
    from rosbags.rosbag2 import Reader
    with Reader(bag) as reader:
        return [(connection.topic, stamp, bytes(data))
                for connection, stamp, data in reader.messages()]


def write_elsewhere(study: Path, limit: int, pictures: int) -> subprocess.Popen[Any]:
    """Record in a process that may write files of ``limit`` bytes; it tells its report.

    It begins when it gets a line, and ends when it gets another.
    """
    code = f"""
import resource, sys
from pathlib import Path
sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[2])]!r}
from bag_bench import CAMERA, picture
from vla_drop_ros.trials.bag_writer import BagWriter
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
bag = BagWriter(Path({str(study)!r}), '7', 'jazzy')
for number in range({pictures}):
    bag.write(CAMERA, number + 1, picture(number))
while bag.written < {min(limit, pictures * 100_000) - 2**21}:
    pass
print('written', flush=True)
sys.stdin.readline()
report = bag.close()
print([report.messages, report.lost, report.end, report.problem], flush=True)
"""
    return subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE,
                            stdout=subprocess.PIPE, text=True)
