# SPDX-License-Identifier: Apache-2.0
"""The match score sees what people at the table can put right, and little else."""

from typing import Any

import numpy as np
import pytest

from vla_drop_ros.console.match import match, match_of, TOLERANCE


def test_the_same_scene_matches(studio: Any) -> None:
    """Noise of the camera, its exposure, its size and JPEG do not matter."""
    reference = studio.picture(noise=0.0)
    assert match(reference, reference) == pytest.approx(1.0)
    live = studio.picture(noise=4.0, seed=3)
    assert match(live, reference) > 0.95
    brighter = np.clip(live * 1.15 + 6.0, 0, 255).astype(np.uint8)
    assert match(brighter, reference) > 0.9
    assert match_of(studio.jpeg(live), studio.jpeg(reference)) > 0.93
    assert match(live[::2, ::2], reference) > 0.9


@pytest.mark.parametrize('moved', [(20, 0), (0, 20), (-40, 10), (150, 100)])
def test_a_moved_object_does_not(moved: tuple[int, int], studio: Any) -> None:
    """A third of its own width is too far, in any direction; far away is worse."""
    reference = studio.picture(noise=0.0)
    column, row = 300 + moved[0], 220 + moved[1]
    assert match(studio.picture((column, row)), reference) < TOLERANCE


def test_farther_is_worse(studio: Any) -> None:
    """The score falls while the object leaves its place, so that people find back."""
    reference = studio.picture(noise=0.0)
    scores = [match(studio.picture((300 + away, 220)), reference) for away in (0, 5, 12, 25, 60)]
    assert scores == sorted(scores, reverse=True) and scores[0] > 0.95 and scores[-1] < 0.4


def test_colour_matters(studio: Any) -> None:
    """Two objects of the same lightness that changed places are seen."""
    reference = studio.picture(noise=0.0)
    swapped = reference.copy()
    swapped[220:280, 300:360] = (40, 106, 90)  # as light as the red cube, and green
    assert match(swapped, reference) < TOLERANCE


def test_no_picture_is_an_error() -> None:
    """Bytes that are no JPEG are named, not scored."""
    for bad in (b'', b'no picture'):
        with pytest.raises(ValueError, match='no picture'):
            match_of(bad, bad)
