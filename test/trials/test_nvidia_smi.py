# SPDX-License-Identifier: Apache-2.0
"""What nvidia-smi says becomes numbers; what it does not say, or no nvidia-smi, becomes none."""

from collections.abc import Iterator
from pathlib import Path
import threading
from types import ModuleType

import pytest

from vla_drop_ros.trials.nvidia_smi import FRESH, gpu_names, GpuLoad, LOAD, load_of, THROTTLED

FIELDS = (*LOAD, THROTTLED)


class Listener:
    """Makes loads of GPUs and remembers what they warned of."""

    def __init__(self) -> None:
        self.warned: list[str] = []
        self.loads: list[GpuLoad] = []
        self.now = 100.0

    def listen(self, program: str) -> GpuLoad:
        self.loads.append(GpuLoad(self.warned.append, program, lambda: self.now))
        return self.loads[-1]


@pytest.fixture(name='listener')
def _listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    for load in listener.loads:
        load.close()


def test_a_line_of_a_gpu() -> None:
    """MiB become bytes, percent a share; a power cap is no throttling, heat is."""
    index, found = load_of('0, 2048, 301.25, 87, 64, 0x0000000000000004', FIELDS)
    assert (index, found) == ('0', {'gpu_memory': 2048 * 2.0**20, 'gpu_power': 301.25,
                                    'gpu_busy': 0.87, 'temperature': 64.0, 'throttled': 0.0})
    for reason in ('0x0000000000000008', '0x0000000000000020', '0x0000000000000044'):
        assert load_of(f'0, 1, 1, 1, 1, {reason}', FIELDS)[1]['throttled'] == 1.0


def test_what_a_gpu_does_not_tell_is_left_out() -> None:
    """As that of a Jetson; a torn line, or a sentence, is none at all."""
    assert load_of('0, [N/A], [Not Supported], [N/A], 51, [N/A]', FIELDS) == (
        '0', {'temperature': 51.0})
    for line in ('0, 2048, 30', '', 'NVIDIA-SMI has failed, since, it, could, not, start'):
        assert load_of(line, FIELDS) == ('', {})


def test_all_gpus_together(listener: Listener, machine: ModuleType, tmp_path: Path) -> None:
    """Memory and power are sums, the busy share a mean; what was said long ago is not said now."""
    load = listener.listen(machine.tool(
        tmp_path / 'smi', '0, 10, 1, 1, 1, 0x0\n0, 100, 50.0, 20, 40, 0x0\n'
        '1, 100, [N/A], 40, 60, 0x40\n'))
    load.join()
    assert load.read() == pytest.approx({
        'gpu_memory': 200 * 2.0**20, 'gpu_power': 50.0, 'gpu_busy': 0.3, 'temperature': 60.0,
        'throttled': 1.0})
    listener.now += FRESH + 0.1
    assert load.read() == {}
    assert len(listener.warned) == 1 and 'exit status 0' in listener.warned[0]


def test_an_older_driver(listener: Listener, machine: ModuleType, tmp_path: Path) -> None:
    """One that does not know a field ends at once; it is asked again without it."""
    program = machine.tool(tmp_path / 'smi', '', f'case "$*" in *{THROTTLED}*) exit 2;; esac; '
                   'echo "0, 100, 50, 20, 40"')
    load = listener.listen(program)
    load.join()
    assert load.read()['gpu_power'] == 50.0 and 'throttled' not in load.read()


def test_a_tool_that_fails_is_warned_of_once(listener: Listener, machine: ModuleType,
                                             tmp_path: Path) -> None:
    """No driver, no program that this machine can run."""
    listener.listen(machine.tool(tmp_path / 'smi', 'NVIDIA-SMI has failed\n', 'exit 9')).join()
    assert len(listener.warned) == 1 and 'exit status 9' in listener.warned[0]
    (tmp_path / 'other').write_text('no program')
    (tmp_path / 'other').chmod(0o755)
    listener.listen(str(tmp_path / 'other')).join()
    assert len(listener.warned) == 2 and 'Exec format' in listener.warned[1]


def test_a_machine_without_the_tool_says_nothing(listener: Listener, tmp_path: Path) -> None:
    """It has no such GPU, and that is no fault."""
    load = listener.listen(str(tmp_path / 'absent'))
    load.close()
    assert load.read() == {} and listener.warned == [] and gpu_names(
        str(tmp_path / 'absent')) == ([], '')


def test_the_end_is_quick_and_no_fault(listener: Listener, machine: ModuleType,
                                       tmp_path: Path) -> None:
    """The tool that goes on for ever is ended with the session, and nobody is warned."""
    program = machine.tool(tmp_path / 'smi', '0, 100, 50, 20, 40, 0x0\n', 'exec sleep 60')
    load = listener.listen(program)
    pause = threading.Event()
    for _ in range(500):
        if load.read():
            break
        pause.wait(0.01)
    assert load.read()['gpu_power'] == 50.0
    load.close()
    assert not load._thread.is_alive() and listener.warned == []
    assert '--loop=1' in (tmp_path / 'smi.asked').read_text()


def test_names(machine: ModuleType, tmp_path: Path) -> None:
    """A name may hold a comma; a tool that fails knows none."""
    said = 'NVIDIA H200, big, 550.90\nNVIDIA T400, 550.90\n'
    assert gpu_names(machine.tool(tmp_path / 'smi', said)) == (
        ['NVIDIA H200, big', 'NVIDIA T400'], '550.90')
    assert gpu_names(machine.tool(tmp_path / 'smi', said, 'exit 9')) == ([], '')
