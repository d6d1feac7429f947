# SPDX-License-Identifier: Apache-2.0
"""Only the shared memory of dead processes is given back."""

import fcntl
import os
from pathlib import Path
import signal
import subprocess
import sys
import time

import pytest

from vla_drop_ros.preflight import private_domain
from vla_drop_ros.shared_memory import (
    available_bytes,
    FOLDER,
    leaked_bytes,
    profile_variable,
    remove_leaked_segments,
)

PARTICIPANT = """
import sys
import rclpy
rclpy.init()
node = rclpy.create_node('participant')
print('ready', flush=True)
sys.stdin.read()
"""


def segment(folder: Path, name: str) -> Path:
    """Make the files of one Fast DDS segment and return its lock."""
    (folder / name).write_bytes(bytes(100))
    lock = folder / f'{name}_el'
    lock.touch()
    return lock


def test_segments_of_the_dead_are_removed(tmp_path: Path) -> None:
    """A segment whose lock can be taken has no owner and goes, with its lock and semaphore."""
    segment(tmp_path, 'fastrtps_0123456789abcdef')
    (tmp_path / 'sem.fastrtps_0123456789abcdef_mutex').touch()
    assert leaked_bytes(tmp_path, settling_time=0.0) == 100
    assert len(list(tmp_path.iterdir())) == 3
    assert remove_leaked_segments(tmp_path, settling_time=0.0) == 100
    assert not list(tmp_path.iterdir())


def test_segments_of_the_living_stay(tmp_path: Path) -> None:
    """A segment whose lock somebody holds is left alone."""
    with segment(tmp_path, 'fastrtps_0123456789abcdef').open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert leaked_bytes(tmp_path, settling_time=0.0) == 0
        assert remove_leaked_segments(tmp_path, settling_time=0.0) == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_ports_stay(tmp_path: Path) -> None:
    """A port may be taken over at any moment; whoever then fails to open it hears nothing."""
    segment(tmp_path, 'fastrtps_port7411')
    (tmp_path / 'somebody_elses').touch()
    assert remove_leaked_segments(tmp_path, settling_time=0.0) == 0
    assert len(list(tmp_path.iterdir())) == 3


def test_young_segments_stay(tmp_path: Path) -> None:
    """A segment made just now may be about to be locked, so it is left alone."""
    segment(tmp_path, 'fastrtps_0123456789abcdef')
    assert remove_leaked_segments(tmp_path, settling_time=60.0) == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_available_bytes_without_shared_memory(tmp_path: Path) -> None:
    """A machine without shared memory has none left, which is no error."""
    assert available_bytes(tmp_path) > 0
    assert available_bytes(tmp_path / 'absent') == 0


@pytest.mark.parametrize(('distribution', 'name'), [
    ('', 'FASTRTPS'), ('humble', 'FASTRTPS'), ('jazzy', 'FASTRTPS'), ('kilted', 'FASTDDS')])
def test_the_variable_of_the_profile(
        monkeypatch: pytest.MonkeyPatch, distribution: str, name: str) -> None:
    """Fast DDS 2 ignores the name that Fast DDS 3 wants, and 3 warns about that of 2."""
    monkeypatch.setenv('ROS_DISTRO', distribution)
    assert profile_variable() == f'{name}_DEFAULT_PROFILES_FILE'


def participant() -> tuple['subprocess.Popen[str]', set[Path]]:
    """Start a process with a ROS node; return it and the segments that it has mapped."""
    process = subprocess.Popen([sys.executable, '-c', PARTICIPANT], text=True,
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None and process.stdout.readline() == 'ready\n'
    maps = Path(f'/proc/{process.pid}/maps').read_text(encoding='utf-8').split()
    return process, {Path(word) for word in maps if word.startswith(f'{FOLDER}/fastrtps_')
                     and not word.startswith(f'{FOLDER}/fastrtps_port')}


@pytest.mark.ros
@pytest.mark.e2e
def test_a_killed_node_leaves_nothing_and_a_living_one_loses_nothing() -> None:
    """What SIGKILL left of a real node is found and removed; the other node keeps its own."""
    pytest.importorskip('rclpy')
    with private_domain():
        living, kept = participant()
        killed, left = participant()
    left -= kept
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        for path in [file for name in left | kept for file in FOLDER.glob(f'{name.name}*')]:
            os.utime(path, (time.time() - 60.0,) * 2)
        leaked = sum(path.stat().st_size for path in left)
        assert kept and left and remove_leaked_segments() >= leaked
        assert not [file for name in left for file in FOLDER.glob(f'*{name.name}*')]
        assert all(path.exists() for path in kept)
    finally:
        for process in (living, killed):
            process.kill()
            process.wait()
