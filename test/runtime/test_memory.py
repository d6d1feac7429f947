# SPDX-License-Identifier: Apache-2.0
"""A checkpoint that does not fit is refused with the numbers; what is free is read correctly."""

from pathlib import Path

import numpy as np
import pytest

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.runtime.memory import (
    available_memory,
    LOAD_EXTRA,
    LOAD_FACTOR,
    process_memory,
    refuse_what_does_not_fit,
    weights_bytes,
)


def machine(folder: Path, available_kb: int) -> Path:
    """Write a /proc and return it."""
    folder.mkdir()
    (folder / 'meminfo').write_text(
        f'MemTotal:  99999999 kB\nMemFree:  5 kB\nMemAvailable:  {available_kb} kB\n')
    return folder


def test_weights_are_float32() -> None:
    """Four bytes a parameter, over all stacks, whatever the file holds."""
    assert weights_bytes({'vision': 10, 'language': 5}) == 60


def test_what_fits_is_let_in() -> None:
    """Exactly the memory needed is enough."""
    needed = int(LOAD_FACTOR * 10**9) + LOAD_EXTRA
    refuse_what_does_not_fit('a', 10**9, {'memory': needed})


def test_what_does_not_fit_is_refused_with_the_numbers() -> None:
    """The memory that is short is named, with need and supply."""
    with pytest.raises(CheckpointError, match=r'1756 MB of GPU memory.* 900 MB are free'):
        refuse_what_does_not_fit('a', 10**9, {'memory': 10**10, 'GPU memory': 900_000_000})


def test_available_is_what_the_machine_has(tmp_path: Path) -> None:
    """Without a container MemAvailable counts, not what is unused."""
    assert available_memory(machine(tmp_path / 'proc', 1000), tmp_path) == 1_024_000


@pytest.mark.parametrize(('limit', 'used', 'expected'), [
    ('500000', '100000', 400_000), ('max', '100000', 1_024_000), ('500000', '600000', 0)])
def test_a_container_has_less(tmp_path: Path, limit: str, used: str, expected: int) -> None:
    """The limit of the control group counts where it is tighter."""
    (tmp_path / 'memory.max').write_text(limit + '\n')
    (tmp_path / 'memory.current').write_text(used + '\n')
    assert available_memory(machine(tmp_path / 'proc', 1000), tmp_path) == expected


def test_unknown_is_said(tmp_path: Path) -> None:
    """Where there is no /proc nothing is claimed."""
    assert available_memory(tmp_path, tmp_path) is None
    assert process_memory(tmp_path) is None


def test_process_memory_grows_with_what_is_held() -> None:
    """A block of 256 MB shows, whatever was freed meanwhile."""
    before = process_memory()
    block = np.ones(32_000_000)
    after = process_memory()
    assert before is not None and after is not None
    assert after - before > 0.5 * block.nbytes
