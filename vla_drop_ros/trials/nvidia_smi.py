# SPDX-License-Identifier: Apache-2.0
"""NVIDIA's GPUs as nvidia-smi tells of them: names once, load once a second while it runs."""

from collections.abc import Callable, Sequence
from contextlib import suppress
import shutil
import subprocess
import threading
import time

NVIDIA_SMI = 'nvidia-smi'
LOAD = ('index', 'memory.used', 'power.draw', 'utilization.gpu', 'temperature.gpu')
THROTTLED = 'clocks_throttle_reasons.active'  # drivers before 2020 do not know it
# Slowed down by heat or by a failing supply; a power cap alone is how some GPUs always run.
SLOWDOWNS = 0x8 | 0x20 | 0x40 | 0x80
FORMAT = '--format=csv,noheader,nounits'
MEBIBYTE = 2 ** 20
FRESH = 3.0  # [s] for which what was said counts
PATIENCE = 10.0  # [s] for one answer
Warn = Callable[[str], None]
Numbers = dict[str, float]


def gpu_names(tool: str = NVIDIA_SMI) -> tuple[list[str], str]:
    """Return the names of the GPUs and the version of their driver; ([], '') without any."""
    if shutil.which(tool) is None:
        return [], ''
    try:
        said = subprocess.run(
            [tool, '--query-gpu=name,driver_version', FORMAT], capture_output=True, text=True,
            errors='replace', timeout=PATIENCE, stdin=subprocess.DEVNULL, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return [], ''
    rows = [line.rpartition(',') for line in said.splitlines() if ',' in line]
    return [name.strip() for name, _, _ in rows], rows[0][2].strip() if rows else ''


class GpuLoad:
    """One nvidia-smi that goes on telling, and a thread that listens to it.

    It is asked once and not once a second: each start would cost the CPU that is measured.
    """

    def __init__(self, warn: Warn, tool: str = NVIDIA_SMI,
                 clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to listen; a machine without the tool has no such GPU, and says nothing.

        Args:
            warn: told once when the tool fails.
            tool: name or path.
            clock: that never stops, [s].

        """
        self._warn, self._tool, self._clock = warn, tool, clock
        self._newest: dict[str, tuple[float, Numbers]] = {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._listen, name='nvidia-smi', daemon=True)
        if shutil.which(tool) is not None:
            self._thread.start()

    def read(self) -> Numbers:
        """Return the load of all GPUs together, as far as it is known.

        ``gpu_memory`` [bytes] and ``gpu_power`` [W] are sums, ``gpu_busy`` (0..1) the mean,
        ``temperature`` [C] the hottest, ``throttled`` 1 where any is slowed down.
        """
        oldest = self._clock() - FRESH
        with self._lock:
            gpus = [load for said, load in self._newest.values() if said >= oldest]
        found: Numbers = {}
        for name, reduce in (('gpu_memory', sum), ('gpu_power', sum), ('gpu_busy', _mean),
                             ('temperature', max), ('throttled', max)):
            values = [load[name] for load in gpus if name in load]
            if values:
                found[name] = float(reduce(values))
        return found

    def close(self) -> None:
        """End the tool; returns at once if it does not obey."""
        with self._lock:
            self._closed = True
            process = self._process
        if process is not None:
            process.kill()
        self.join()

    def join(self) -> None:
        """Wait for the end of the tool, shortly."""
        if self._thread.is_alive():
            self._thread.join(1.0)

    def _listen(self) -> None:
        said = False
        for fields in ((*LOAD, THROTTLED), LOAD):
            try:
                said, status = self._run(fields)
            except OSError as error:
                self._fail(str(error.strerror))
                return
            if said:
                break
        self._fail(f'it ended with exit status {status}')

    def _fail(self, why: str) -> None:
        if not self._closed:
            self._warn(f'{self._tool}: {why}; the load of the GPU is not recorded any more')

    def _run(self, fields: Sequence[str]) -> tuple[bool, int]:
        """Listen until the tool ends; return whether it said anything, and its exit status."""
        with self._lock:
            if self._closed:
                return True, 0
            # In a session of its own, Ctrl-C at the terminal is not meant for it; when this
            # process is killed, its next line finds no reader and it ends too.
            self._process = process = subprocess.Popen(
                [self._tool, f'--query-gpu={",".join(fields)}', FORMAT, '--loop=1'], text=True,
                errors='replace', stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, start_new_session=True)
        said = False
        with process:
            for line in process.stdout or ():
                index, load = load_of(line, fields)
                if index:
                    said = True
                    with self._lock:
                        self._newest[index] = self._clock(), load
        return said, process.returncode


def load_of(line: str, fields: Sequence[str]) -> tuple[str, Numbers]:
    """Return index and load of a GPU from a line of CSV; ('', {}) where it is no such line.

    What the GPU does not tell ([N/A], [Not Supported]) is left out.
    """
    words = [word.strip() for word in line.split(',')]
    if len(words) != len(fields) or not words[0].isdecimal():
        return '', {}
    said = dict(zip(fields, words, strict=True))
    found: Numbers = {}
    for field, name, unit in (('memory.used', 'gpu_memory', float(MEBIBYTE)),
                              ('power.draw', 'gpu_power', 1.0),
                              ('utilization.gpu', 'gpu_busy', 0.01),
                              ('temperature.gpu', 'temperature', 1.0)):
        try:
            found[name] = float(said[field]) * unit
        except ValueError:
            continue
    with suppress(ValueError):
        found['throttled'] = float(bool(int(said.get(THROTTLED, ''), 16) & SLOWDOWNS))
    return words[0], found


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
