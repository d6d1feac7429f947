# SPDX-License-Identifier: Apache-2.0
"""Statistics between robot units and model units."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.policies.normalization import Normalization

GOOD = {'state': {'mean': [1.0, 2.0], 'std': [2.0, 4.0]}, 'action': {'mean': [0.0], 'std': [1.0]}}


def test_there_and_back() -> None:
    """Denormalising what was normalised gives the values again."""
    state = Normalization.from_dict(GOOD).state
    values = np.array([[3.0, -2.0]])
    assert np.array_equal(state.normalize(values), [[1.0, -1.0]])
    assert np.array_equal(state.denormalize(state.normalize(values)), values)


@pytest.mark.parametrize('state', [
    {'mean': [1.0], 'std': [0.0]}, {'mean': [float('nan')], 'std': [1.0]},
    {'mean': [1.0], 'std': [1.0, 1.0]}, {'mean': [1.0]}, {'mean': ['a'], 'std': [1.0]}])
def test_useless_statistics_are_refused(state: dict[str, Any]) -> None:
    """Zero spread, NaN, unequal lengths and missing keys are errors."""
    with pytest.raises(CheckpointError, match='normalisation'):
        Normalization.from_dict({**GOOD, 'state': state})


def test_unreadable_file_is_named(tmp_path: Path) -> None:
    """A broken file is an error with its path."""
    path = tmp_path / 'normalization.json'
    path.write_text('{')
    with pytest.raises(CheckpointError, match=r'normalization\.json'):
        Normalization.load(path)
