# SPDX-License-Identifier: Apache-2.0
"""The files of a machine become numbers with units; what it has no file for is not known."""

from pathlib import Path
from types import ModuleType

import pytest

from vla_drop_ros.trials.host_sensors import HostSensors


def test_a_desktop(machine: ModuleType, tmp_path: Path) -> None:
    """Time of all processors without the guests' twice, memory in use, the hottest real zone."""
    sensors = HostSensors(machine.build(tmp_path, machine.DESKTOP))
    found = {name: number for read in sensors.sources.values() for name, number in read().items()}
    assert found == {'cpu_busy': 200.0, 'cpu_total': 1000.0, 'memory': 600.0 * 1024,
                     'temperature': 41.0, 'throttles': 7.0}
    assert sensors.gpu_rail == ''


def test_a_jetson(machine: ModuleType, tmp_path: Path) -> None:
    """Power of the rail with the GPU, its load per mille; an alert is throttling, a fan is not."""
    sensors = HostSensors(machine.build(tmp_path, machine.JETSON))
    assert sensors.jetson() == {'gpu_power': 9.5, 'gpu_busy': 0.725}
    assert sensors.gpu_rail == 'VDD_GPU_SOC' and sensors.throttling() == {'throttled': 0.0}
    (tmp_path / 'sys/class/thermal/cooling_device1/cur_state').write_text('1\n')
    assert sensors.throttling() == {'throttled': 1.0}


def test_a_machine_without_sensors(tmp_path: Path) -> None:
    """Nothing to read, nothing that fails."""
    assert HostSensors(tmp_path).sources == {}


@pytest.mark.parametrize(('name', 'text', 'says'), [
    ('proc/stat', 'intr 1 2 3\n', 'first line'), ('proc/stat', 'cpu a b\n', 'float'),
    ('proc/meminfo', 'MemTotal: 5 kB\n', 'MemAvailable'), ('proc/meminfo', '', 'MemTotal')])
def test_nonsense_is_an_error(machine: ModuleType, tmp_path: Path, name: str, text: str,
                              says: str) -> None:
    """And no number."""
    machine.build(tmp_path, {**machine.DESKTOP, name: text})
    with pytest.raises(ValueError, match=says):
        HostSensors(tmp_path).sources[f'/{name}']()


def test_a_zone_that_does_not_answer_is_passed_over(machine: ModuleType, tmp_path: Path) -> None:
    """Many machines have one that is switched off; the others count."""
    sensors = HostSensors(machine.build(tmp_path, machine.DESKTOP))
    (tmp_path / 'sys/class/thermal/thermal_zone1/temp').unlink()
    assert sensors.temperature() == {'temperature': 41.0}
    (tmp_path / 'sys/class/thermal/thermal_zone0/temp').write_text('255000\n')
    assert sensors.temperature() == {}
