# SPDX-License-Identifier: Apache-2.0
"""A recording (rosbag2, MCAP) that was cut off gets an end, and opens again; no ROS."""

from collections.abc import Mapping
import os
from pathlib import Path
import struct
from typing import Any, NamedTuple

import yaml

from vla_drop_ros.errors import MissingDependencyError, TrialError

MAGIC = b'\x89MCAP0\r\n'
HEAD = struct.Struct('<BQ')  # opcode and length, before each record
FOOTER, DATA_END = 0x02, 0x0F
# The end of a file without index: readers go through it once.
END = (HEAD.pack(DATA_END, 4) + bytes(4) + HEAD.pack(FOOTER, 20) + bytes(20) + MAGIC)


class Mended(NamedTuple):
    """What is left of a recording.

    Attributes:
        messages: topic -> messages.
        span: when the first and the last were received, [ns]; zeros without messages.

    """

    messages: Mapping[str, int]
    span: tuple[int, int]


def mend(folder: Path, distro: str = '', room: int = 0) -> Mended:
    """Cut a recording after its last whole record, end it there, and write its metadata.

    Args:
        folder: of one recording that nobody writes any more.
        distro: ROS distribution for the metadata.
        room: [bytes] by which the file must become shorter, where the disk is full.

    Raises:
        TrialError: there is nothing to mend, or the disk cannot be written.
        MissingDependencyError: the package rosbags is not installed.

    """
    try:
        from rosbags.rosbag2 import Reader, ReaderError
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            'mending bags needs the package rosbags: pip install rosbags') from error
    files = sorted(folder.glob('*.mcap'))
    if len(files) != 1 or (folder / 'metadata.yaml').exists():
        raise TrialError(f'{folder} is no recording that was cut off: it has {len(files)} .mcap '
                         'files, or its metadata.yaml; give a folder of bags/ without that file')
    try:
        with open(files[0], 'r+b') as file:
            file.truncate(_whole(file, room))
            file.seek(0, os.SEEK_END)
            file.write(END)
        with Reader(files[0]) as reader:
            metadata = _metadata(reader, files[0].name, distro)
            span = (reader.start_time, reader.start_time + max(0, reader.duration - 1))
            left = Mended(
                {connection.topic: connection.msgcount for connection in reader.connections},
                span if reader.message_count else (0, 0))
        text = yaml.safe_dump({'rosbag2_bagfile_information': metadata}, sort_keys=False)
        (folder / 'metadata.yaml').write_text(text, encoding='utf-8')
    except (OSError, ReaderError) as error:
        raise TrialError(f'{folder} cannot be mended: {error}; try `mcap recover`') from error
    return left


def _whole(file: Any, room: int) -> int:
    """Return where the last whole record before the end ends, [bytes]."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if file.read(len(MAGIC)) != MAGIC:
        raise TrialError(f'{file.name} is no MCAP file; nothing of it can be mended')
    whole = file.tell()
    while True:
        head = file.read(HEAD.size)
        if len(head) < HEAD.size:
            return whole
        opcode, length = HEAD.unpack(head)
        end = whole + HEAD.size + length
        if opcode in (0, FOOTER, DATA_END) or end > size - room:
            return whole
        whole = file.seek(end)


def _metadata(reader: Any, name: str, distro: str) -> dict[str, Any]:
    from rosbags.rosbag2.metadata import dump_qos_v9
    span = {'starting_time': {'nanoseconds_since_epoch': reader.start_time},
            'duration': {'nanoseconds': reader.duration},
            'message_count': reader.message_count}
    topics = [{
        'message_count': connection.msgcount,
        'topic_metadata': {
            'name': connection.topic, 'type': connection.msgtype, 'serialization_format': 'cdr',
            'offered_qos_profiles': dump_qos_v9(connection.ext.offered_qos_profiles),
            'type_description_hash': connection.digest}} for connection in reader.connections]
    return {'version': 9, 'storage_identifier': 'mcap', 'relative_file_paths': [name], **span,
            'topics_with_message_count': topics, 'compression_format': '',
            'compression_mode': '', 'files': [{'path': name, **span}], 'custom_data': None,
            'ros_distro': distro or 'unknown'}
