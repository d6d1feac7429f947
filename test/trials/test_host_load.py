# SPDX-License-Identifier: Apache-2.0
"""The load of a trial is that between its begin and its end, and nobody waits for it."""

from collections.abc import Callable, Iterator
import os
from pathlib import Path
import threading
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.trials.host_load import HostLoad, load_of

HOURS = 3600.0


class Desk:
    """A machine in a folder whose load is sampled when the test says so."""

    def __init__(self, root: Path, interval: float = HOURS, tool: str = 'absent') -> None:
        self.root, self.warned = root, list[str]()
        self.load = HostLoad(self.warned.append, root, tool, interval)

    def used(self, busy: int, idle: int) -> None:
        (self.root / 'proc/stat').write_text(f'cpu {busy} 0 0 {idle} 0 0 0 0\n')

    def until(self, condition: Callable[[], Any]) -> None:
        pause = threading.Event()
        for _ in range(1000):
            if condition():
                return
            pause.wait(0.01)
        raise AssertionError('did not happen in time')

    def begin(self) -> None:
        """Begin a trial and wait for the first sample."""
        self.load.begin()
        self.until(lambda: self.load._samples)


@pytest.fixture(name='desk')
def _desk(machine: ModuleType, tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    desks: list[Desk] = []

    def make(files: dict[str, str] | None = None, **settings: Any) -> Desk:
        desks.append(Desk(machine.build(tmp_path, files or machine.DESKTOP), **settings))
        return desks[-1]

    yield make
    for one in desks:
        one.load.close()
        assert not one.load._thread.is_alive()


def test_load_of_a_trial(desk: Callable[..., Desk]) -> None:
    """Busy share from first to last sample, peaks of memory and heat, a throttled processor."""
    one = desk()
    one.used(1000, 5000)
    one.begin()
    (one.root / 'proc/meminfo').write_text('MemTotal: 1000 kB\nMemAvailable: 100 kB\n')
    (one.root / 'sys/class/thermal/thermal_zone0/temp').write_text('66500\n')
    one.load.sample()
    one.used(1300, 5100)
    (one.root / 'proc/meminfo').write_text('MemTotal: 1000 kB\nMemAvailable: 900 kB\n')
    (one.root / 'sys/class/thermal/thermal_zone0/temp').write_text('50000\n')
    (one.root / 'sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count').write_text('8')
    one.load.sample()
    found = one.load.end()
    assert found == {'cpu': 0.75, 'memory': 900 * 1024, 'temperature': 66.5, 'throttled': True}
    one.used(9000, 5100)
    one.load.sample()
    assert one.load.end() == found, 'what comes later is not of this trial'
    one.begin()
    assert 'cpu' not in one.load.end(), 'one sample is no share'


def test_power_and_energy() -> None:
    """Mean power, and energy over the whole trial; of a GPU that tells no power there is none."""
    samples = [{'gpu_power': 100.0, 'gpu_memory': 5.0}, {'gpu_power': 140.0, 'gpu_memory': 9.0},
               {'gpu_busy': 0.5}]
    assert load_of(samples, 10.0) == {
        'gpu_memory': 9, 'gpu_power': 120.0, 'gpu_energy': 1200.0, 'gpu_busy': 0.5}
    assert load_of([], 10.0) == {}


def test_a_gpu_beside_the_other_sensors(desk: Callable[..., Desk], machine: ModuleType,
                                        tmp_path: Path) -> None:
    """The hottest sensor counts, whichever it is."""
    program = machine.tool(tmp_path / 'smi', '0, 64, 75.5, 50, 70, 0x20\n', 'exec sleep 60')
    one = desk(tool=program)
    one.until(one.load._gpu.read)
    one.begin()
    found = one.load.end()
    assert found['temperature'] == 70.0 and found['throttled'] is True
    assert found['gpu_power'] == 75.5 and found['gpu_memory'] == 64 * 2**20
    assert 'gpu_rail' not in found


def test_a_jetson_names_its_rail(desk: Callable[..., Desk], machine: ModuleType) -> None:
    """Its power is that of more than the GPU: who reads it must know of what."""
    one = desk(machine.JETSON)
    one.begin()
    found = one.load.end()
    assert found['gpu_rail'] == 'VDD_GPU_SOC' and found['gpu_power'] == 9.5
    assert found['throttled'] is False and 'memory' not in found


def test_a_sensor_that_fails_is_warned_of_once(desk: Callable[..., Desk]) -> None:
    """The others go on; what is no number is left out."""
    one = desk()
    (one.root / 'proc/stat').write_text('cpu 1 2')
    (one.root / 'proc/meminfo').write_text('MemTotal: inf kB\nMemAvailable: 1 kB\n')
    one.begin()
    one.load.sample()
    assert len(one.warned) == 1 and one.warned[0].startswith('/proc/stat cannot be read')
    assert set(one.load.end()) == {'temperature', 'throttled'}


def test_a_sensor_that_hangs_holds_nobody_up(desk: Callable[..., Desk]) -> None:
    """A trial begins, ends and ends again while the thread waits; only the samples are missing."""
    one = desk()
    (one.root / 'proc/stat').unlink()
    os.mkfifo(one.root / 'proc/stat')  # reading waits for a writer
    for _ in range(2):
        one.load.begin()
        assert one.load.end() == {}
    descriptor = os.open(one.root / 'proc/stat', os.O_RDWR)  # let it go
    os.write(descriptor, b'cpu 1 1 1 1 1 1 1 1\n')
    os.close(descriptor)


def test_it_goes_on_by_itself(desk: Callable[..., Desk]) -> None:
    """Once an interval while a trial runs, and not between trials."""
    one = desk(interval=0.01)
    assert not one.load._samples
    one.begin()
    one.until(lambda: len(one.load._samples) > 3)
    one.load.end()
