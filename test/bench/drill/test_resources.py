# SPDX-License-Identifier: Apache-2.0
"""What a process holds is read from the kernel, and a leak is told from noise."""

import mmap
import os
from pathlib import Path

import numpy as np

from bench.drill.resources import growth, Holding, holding, MEBIBYTE


def samples(slope: float, noise: float) -> list[Holding]:
    """Return an hour of samples, 5 s apart; ``slope`` in MiB/h, ``noise`` in MiB."""
    rng = np.random.default_rng(0)
    return [Holding(wall, round(MEBIBYTE * (500 + slope * wall / 3600 + noise * rng.normal())),
                    20, 5) for wall in np.arange(0.0, 3600.0, 5.0)]


def test_a_leak_is_found_and_noise_is_not() -> None:
    """The interval holds the true slope, and excludes zero where there is a leak."""
    leak, still = growth(samples(50.0, 3.0), 600.0), growth(samples(0.0, 3.0), 600.0)
    assert leak is not None and still is not None
    assert leak.low < 50.0 < leak.high and leak.low > 0.0
    assert still.low < 0.0 < still.high


def test_too_few_samples_say_nothing() -> None:
    """A slope of a handful of numbers would be a guess."""
    assert growth(samples(50.0, 1.0)[:15], 0.0) is None


def test_this_process_is_measured(tmp_path: Path) -> None:
    """An open file and a megabyte show; a process that is gone has nothing."""
    before = holding(os.getpid(), 0.0)
    assert before is not None
    held = mmap.mmap(-1, 10 * MEBIBYTE)  # not what the allocator had kept
    held.write(b'1' * len(held))
    with (tmp_path / 'file').open('w'):
        after = holding(os.getpid(), 1.0)
    assert after is not None and held[-1:] == b'1'
    assert after.files == before.files + 1
    assert after.memory > before.memory + 8 * MEBIBYTE
    assert holding(2**22 + 1, 0.0) is None
