# SPDX-License-Identifier: Apache-2.0
"""Each distortion does to a stream what its name says, and nothing to the others."""

from types import SimpleNamespace
from typing import Any

import pytest

from bench.drill.distortion import Distortion, DISTORTIONS, shift


def image(stamp: float = 1.0, content: bytes = b'abcdef') -> Any:
    """Return something with the fields of a 1 x 2 rgb8 image."""
    return SimpleNamespace(
        header=SimpleNamespace(stamp=SimpleNamespace(
            sec=int(stamp), nanosec=round(stamp % 1.0 * 1e9)), frame_id='base_link'),
        height=1, width=2, step=6, encoding='rgb8', data=content)


def times(messages: list[Any]) -> list[float]:
    """Return the stamps, [s]."""
    return [one.header.stamp.sec + one.header.stamp.nanosec * 1e-9 for one in messages]


def test_passing_changes_nothing() -> None:
    """A relay that is not asked for anything is invisible."""
    message = image()
    assert Distortion()(message) == [message]


def test_a_frozen_stream_repeats_itself() -> None:
    """With its stamp, or under fresh ones; the content is the first in both cases."""
    for name, expected in (('freeze', [1.0, 1.0]), ('freeze_fresh', [1.0, 2.0])):
        distortion = Distortion(name)
        out = distortion(image(1.0, b'first')) + distortion(image(2.0, b'next'))
        assert times(out) == expected
        assert [one.data for one in out] == [b'first', b'first']


def test_a_lagging_stream_keeps_its_stamps() -> None:
    """What comes out was stamped a second before what goes in."""
    distortion = Distortion('lag')
    assert distortion(image(1.0)) == []
    assert distortion(image(1.5)) == []
    assert times(distortion(image(2.0))) == [1.0]


def test_a_resized_image_is_correct_in_itself() -> None:
    """Only its size is another; a truncated one contradicts itself."""
    message, = Distortion('resize')(image())
    assert len(message.data) == message.height * message.step == 24
    message, = Distortion('truncate')(image())
    assert len(message.data) < message.height * message.step


def test_stamps_are_moved_or_erased() -> None:
    """Ten seconds ahead, zero, and never before zero."""
    assert times(Distortion('stamp_future')(image(1.5))) == [11.5]
    assert times(Distortion('stamp_zero')(image(1.5))) == [0.0]
    assert times([shift(image(1.5), -3.0)]) == [0.0]
    assert times([shift(image(1.5), -0.75)]) == [0.75]


def test_an_unknown_distortion_is_refused() -> None:
    """A drill with a wrong name must not pass as one without a fault."""
    with pytest.raises(KeyError):
        Distortion('freez')
    assert Distortion('stop')(image()) == []
    assert set(DISTORTIONS) > {'encoding', 'frame', 'nan', 'nameless'}
