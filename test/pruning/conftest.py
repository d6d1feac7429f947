# SPDX-License-Identifier: Apache-2.0
"""A tiny random policy and what it is ranked on."""

from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.families.family import Family
from vla_drop_ros.families.registry import family
from vla_drop_ros.policies.calibration import Calibration
from vla_drop_ros.pruning.criterion import Subject
from vla_drop_ros.weights import Weights


@pytest.fixture
def pi0() -> Family:
    """Return the family of the tiny policy."""
    return family('pi0')


@pytest.fixture
def subject(tiny_pair: tuple[Path, Path], calibration: Calibration,
            tiny_policy: Any) -> Subject:
    """Return the tiny policy as criteria see it, with its base."""
    policy, base = tiny_pair
    vlm, pi0 = family('paligemma'), family('pi0')
    return Subject(
        pi0, tiny_policy.model, calibration.batches, Weights(policy, pi0.module_name),
        (vlm, vlm.sites(vlm.read_config(base)), Weights(base, vlm.module_name)))
