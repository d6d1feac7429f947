# SPDX-License-Identifier: Apache-2.0
"""Speed is a ratio of neighbours in time."""

from pathlib import Path

from vla_drop_ros.evidence.timing import Clock


def test_a_model_is_as_fast_as_itself(tiny_pair: tuple[Path, Path], tiny_dataset: Path) -> None:
    """Against itself the ratios are near 1, whatever else the machine does."""
    found = Clock(tiny_pair[0], tiny_dataset).measure(tiny_pair[0])
    assert set(found) == {'chunk_ms', 'chunk_speedup', 'step_ms', 'step_speedup'}
    assert 0.5 < found['chunk_speedup'] < 2.0 and 0.5 < found['step_speedup'] < 2.0
    assert found['chunk_ms'] > 0 and found['step_ms'] > 0
