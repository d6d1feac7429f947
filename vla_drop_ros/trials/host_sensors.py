# SPDX-License-Identifier: Apache-2.0
"""What Linux tells of the load of a machine: /proc, and the sensors in /sys, Jetson's too.

What a machine has no file for is not known, and nothing is put in its place.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

Numbers = dict[str, float]
ROOT = Path('/')
KIBIBYTE = 1024
PLAUSIBLE = (1.0, 150.0)  # [C]; sensors that are switched off say -274, 0 or 255
IDLE, COUNTED = (3, 4), 8  # columns of /proc/stat: idle and waiting; guests are counted twice
SLOWING = 'throttle-alert'  # cooling devices of a Jetson; fans and power modes are others
COUNTS = 'sys/devices/system/cpu/cpu*/thermal_throttle/*_throttle_count'
# Of the GPU of a Jetson, per mille; where it lies depends on the release of its Linux.
JETSON_LOADS = ('sys/devices/gpu.0/load', 'sys/devices/platform/gpu.0/load',
                'sys/devices/platform/*.gpu/load', 'sys/devices/platform/bus@0/*.gpu/load')
JETSON_RAILS = 'sys/bus/i2c/drivers/ina3221*/*/hwmon/hwmon*/in*_label'


class HostSensors:
    """The files of one machine; which there are is looked up once.

    Attributes:
        gpu_rail: name of the rail that ``gpu_power`` is of, '' where none is measured.

    """

    def __init__(self, root: Path = ROOT) -> None:
        """Look for sensors below ``root``."""
        self._root = root
        self._zones = sorted(root.glob('sys/class/thermal/thermal_zone*/temp'))
        self._counts = sorted(root.glob(COUNTS))
        self._cooling = [
            folder / 'cur_state'
            for folder in sorted(root.glob('sys/class/thermal/cooling_device*'))
            if SLOWING in _text(folder / 'type')]
        self._load = next((path for pattern in JETSON_LOADS
                           for path in sorted(root.glob(pattern))), None)
        self.gpu_rail, self._rail = '', (Path(), Path())
        for label in sorted(root.glob(JETSON_RAILS)):
            if 'GPU' in (name := _text(label)) and not self.gpu_rail:
                number = label.name.removeprefix('in').removesuffix('_label')
                self.gpu_rail = name
                self._rail = label.with_name(f'in{number}_input'), label.with_name(
                    f'curr{number}_input')

    @property
    def sources(self) -> dict[str, Callable[[], Numbers]]:
        """Return name -> what reads it; each raises OSError or ValueError where it fails."""
        found: dict[str, Callable[[], Numbers]] = {}
        if (self._root / 'proc/stat').exists():
            found['/proc/stat'] = self.processor
        if (self._root / 'proc/meminfo').exists():
            found['/proc/meminfo'] = self.memory
        if self._zones:
            found['/sys/class/thermal'] = self.temperature
        if self._counts or self._cooling:
            found['the throttling of the processor'] = self.throttling
        if self.gpu_rail or self._load:
            found['the sensors of the Jetson'] = self.jetson
        return found

    def processor(self) -> Numbers:
        """Return ``cpu_busy`` and ``cpu_total``, summed over processors since the start."""
        line = (self._root / 'proc/stat').read_text().split('\n', 1)[0].split()
        if line[:1] != ['cpu']:
            raise ValueError('its first line is not that of all processors')
        ticks = [float(word) for word in line[1:COUNTED + 1]]
        total = sum(ticks)
        return {'cpu_busy': total - sum(ticks[column] for column in IDLE), 'cpu_total': total}

    def memory(self) -> Numbers:
        """Return ``memory`` that no program could get any more, [bytes]."""
        lines = (self._root / 'proc/meminfo').read_text().splitlines()
        found = {name: rest.split() for name, _, rest in (line.partition(':') for line in lines)}
        try:
            total, free = (float(found[name][0]) for name in ('MemTotal', 'MemAvailable'))
        except (KeyError, IndexError) as error:
            raise ValueError(f'it does not say {error}') from error
        return {'memory': (total - free) * KIBIBYTE}

    def temperature(self) -> Numbers:
        """Return ``temperature`` of the hottest zone, [C]; {} when none tells."""
        low, high = PLAUSIBLE
        hot = [value / 1000.0 for value in _numbers(self._zones)
               if low <= value / 1000.0 <= high]
        return {'temperature': max(hot)} if hot else {}

    def throttling(self) -> Numbers:
        """Return ``throttled``, 1 while something is slowed down, and ``throttles`` so far."""
        found: Numbers = {}
        if self._cooling:
            found['throttled'] = float(any(value > 0 for value in _numbers(self._cooling)))
        if self._counts:
            found['throttles'] = sum(_numbers(self._counts))
        return found

    def jetson(self) -> Numbers:
        """Return ``gpu_power`` [W] of the rail, and ``gpu_busy`` (0..1)."""
        found: Numbers = {}
        if self.gpu_rail:
            millivolts, milliamperes = (float(path.read_text()) for path in self._rail)
            found['gpu_power'] = millivolts * milliamperes / 1e6
        if self._load is not None:
            found['gpu_busy'] = float(self._load.read_text()) / 1000.0
        return found


def _text(path: Path) -> str:
    try:
        return path.read_text(errors='replace').strip()
    except OSError:
        return ''


def _numbers(paths: list[Path]) -> Iterator[float]:
    """Yield what the files say now; a sensor that does not answer is passed over."""
    for path in paths:
        try:
            yield float(path.read_text())
        except (OSError, ValueError):
            continue
