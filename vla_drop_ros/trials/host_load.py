# SPDX-License-Identifier: Apache-2.0
"""Load, heat and power of this machine while a trial runs, sampled in a thread of its own.

The thread may wait for a sensor; whoever begins and ends a trial never does. What fails is
warned of once, and is then left out.
"""

from collections.abc import Callable
import math
from pathlib import Path
import threading
import time
from typing import Any

from vla_drop_ros.trials.host_sensors import HostSensors, ROOT
from vla_drop_ros.trials.nvidia_smi import GpuLoad, NVIDIA_SMI

INTERVAL = 1.0  # [s]
Numbers = dict[str, float]


class HostLoad:
    """Samples once a second between ``begin`` and ``end``."""

    def __init__(self, warn: Callable[[str], None], root: Path = ROOT, tool: str = NVIDIA_SMI,
                 interval: float = INTERVAL) -> None:
        """Take the sensors that are there; nothing is sampled before ``begin``.

        Args:
            warn: told once of what fails; from another thread.
            root: folder that holds proc and sys.
            tool: nvidia-smi.
            interval: between samples, [s].

        """
        self._warn, self._interval = warn, interval
        self._sensors = HostSensors(root)
        self._gpu = GpuLoad(warn, tool)
        self._sources = self._sensors.sources
        self._lock = threading.Lock()
        self._samples: list[Numbers] = []
        self._began, self._rail = 0.0, ''
        self._result: dict[str, Any] = {}
        self._measuring = self._closed = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name='host load', daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Begin a trial: forget the last one, and sample at once."""
        with self._lock:
            self._samples, self._result, self._rail = [], {}, ''
            self._began, self._measuring = time.monotonic(), True
        self._wake.set()

    def end(self) -> dict[str, Any]:
        """End the trial, and return what is known of it; again the same until ``begin``.

        ``cpu`` mean busy share of all processors (0..1), ``memory`` peak [bytes], ``gpu_memory``
        peak [bytes], ``gpu_power`` mean [W], ``gpu_energy`` [J], ``gpu_busy`` mean (0..1),
        ``gpu_rail`` name of the rail on a Jetson, ``temperature`` hottest [C], ``throttled``.
        """
        with self._lock:
            if self._measuring:
                self._measuring = False
                self._result = load_of(self._samples, time.monotonic() - self._began)
                if self._rail:
                    self._result['gpu_rail'] = self._rail
            return dict(self._result)

    def close(self) -> None:
        """End thread and tool, shortly."""
        self._closed = True
        self._wake.set()
        self._gpu.close()
        self._thread.join(1.0)

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._interval if self._measuring else None)
            self._wake.clear()
            if self._measuring:
                self.sample()

    def sample(self) -> None:
        """Take one sample of all that can be read."""
        with self._lock:
            samples = self._samples  # of the trial for which this is read
        found: Numbers = {}
        for name, read in list(self._sources.items()):
            try:
                found |= read()
            except (OSError, ValueError, LookupError) as error:
                del self._sources[name]
                self._warn(f'{name} cannot be read ({error}) and is not recorded any more')
        gpu = self._gpu.read()
        if 'gpu_power' in found and 'gpu_power' not in gpu:
            self._rail = self._sensors.gpu_rail
        for name in ('temperature', 'throttled'):
            if name in gpu and name in found:
                gpu[name] = max(gpu[name], found[name])
        found |= gpu
        samples.append({name: value for name, value in found.items() if math.isfinite(value)})


def load_of(samples: list[Numbers], seconds: float) -> dict[str, Any]:
    """Return what samples say of a trial that lasted ``seconds``; as ``HostLoad.end``."""
    found: dict[str, Any] = {}
    ticks = [one for one in samples if 'cpu_total' in one]
    if ticks and ticks[-1]['cpu_total'] > ticks[0]['cpu_total']:
        found['cpu'] = round((ticks[-1]['cpu_busy'] - ticks[0]['cpu_busy'])
                             / (ticks[-1]['cpu_total'] - ticks[0]['cpu_total']), 4)
    for name in ('memory', 'gpu_memory', 'temperature'):
        values = [one[name] for one in samples if name in one]
        if values:
            found[name] = round(max(values), 1) if name == 'temperature' else int(max(values))
    for name in ('gpu_power', 'gpu_busy'):
        values = [one[name] for one in samples if name in one]
        if values:
            found[name] = round(sum(values) / len(values), 4)
    if 'gpu_power' in found:
        found['gpu_energy'] = round(found['gpu_power'] * seconds, 3)
    flags = [one['throttled'] for one in samples if 'throttled' in one]
    counts = [one['throttles'] for one in samples if 'throttles' in one]
    if flags or len(counts) > 1:
        found['throttled'] = any(flags) or (bool(counts) and counts[-1] > counts[0])
    return found
