# SPDX-License-Identifier: Apache-2.0
"""What a model answers to one fixed input: the last proof that the right weights were loaded."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.families.family import Family

SEED = 20260627
VALUES = 32         # numbers kept
TOLERANCE = 1e-3    # relative to the largest value; another CPU or torch rounds differently


def measure(family: Family, model: Any, cameras: int) -> dict[str, Any]:
    """Return the fingerprint of a model on the CPU in float32.

    Args:
        family: what the model is.
        model: a vla (its chunk is measured) or a vlm (the logits of the word behind the prompt).
        cameras: images in its prompt.

    """
    inputs, noise = family.fixed_inputs(model, cameras, SEED)
    flat = family.act(model, inputs, noise).flatten()
    picked = np.random.default_rng(SEED + 2).permutation(flat.numel())[:VALUES]
    return {'seed': SEED, 'tolerance': TOLERANCE,
            'values': [float(flat[int(index)]) for index in picked]}


def check(expected: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """Raise CheckpointError if two fingerprints differ by more than the expected's tolerance."""
    if expected.get('seed') != found['seed'] or not expected.get('values'):
        raise CheckpointError(
            f'the fingerprint in the manifest (seed {expected.get("seed")}) is not one that this '
            f'version computes (seed {found["seed"]}); write the folder again')
    want, got = np.asarray(expected['values']), np.asarray(found['values'])
    limit = expected.get('tolerance', TOLERANCE) * max(1.0, float(np.abs(want).max()))
    if want.shape != got.shape or not np.abs(want - got).max() <= limit:
        worst = float(np.abs(want - got).max()) if want.shape == got.shape else float('nan')
        raise CheckpointError(
            f'the model answers a fixed input differently than when it was saved (by {worst:.3g}, '
            f'allowed {limit:.3g}): weights or library do not match the manifest')
