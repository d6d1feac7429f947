# SPDX-License-Identifier: Apache-2.0
"""The next trial of a condition is to begin like the last one did."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.reference_pictures import (
    read_references,
    ReferencePictures,
    write_references,
)


def attempt(code: str, condition: str, verdict: str, uri: str = '') -> Attempt:
    """Return an attempt with a picture."""
    values = {'picture': {'uri': uri}} if uri else {}
    return Attempt(code, 0, 0, condition, 'x', verdict=verdict, values=values)


def test_pictures_are_never_overwritten(tmp_path: Path) -> None:
    """A trial that is run again after an undo gets a file of its own."""
    pictures = ReferencePictures(tmp_path)
    first, second = pictures.save('7', b'one'), pictures.save('7', b'two')
    assert first == ('pictures/7.jpg', sha256(b'one').hexdigest())
    assert second[0] == 'pictures/7-2.jpg'
    assert (tmp_path / first[0]).read_bytes() == b'one'
    (tmp_path / 'file').write_text('')
    with pytest.raises(TrialError, match='cannot write a picture'):
        ReferencePictures(tmp_path / 'file').save('1', b'')


def test_the_design_comes_first_then_the_last_valid_trial(tmp_path: Path) -> None:
    """Another condition, an invalid trial, or the current one is no reference."""
    pictures = ReferencePictures(tmp_path)
    uris = [pictures.save(code, code.encode())[0] for code in ('1', '2', '3')]
    attempts = [attempt('1', 'a', 'success', uris[0]), attempt('2', 'b', 'success', uris[1]),
                attempt('3', 'a', 'invalid', uris[2]), attempt('4', 'a', '')]
    assert pictures.reference('a', attempts) == b'1'
    assert pictures.reference('c', attempts) is None
    (tmp_path / 'references').mkdir()
    (tmp_path / 'references' / 'a.jpg').write_bytes(b'drawn')
    assert pictures.reference('a', attempts) == b'drawn'


def test_pictures_of_a_design_go_with_the_study(tmp_path: Path, design: Design) -> None:
    """They are read before the lock, and found by the trials; what is none is named."""
    cv2.imwrite(str(tmp_path / 'red.png'), np.full((20, 30, 3), 80, np.uint8))
    first = replace(design.conditions[0], reference_image='red.png')
    drawn = replace(design, conditions=(first, *design.conditions[1:]))
    study = tmp_path / 'study'
    study.mkdir()
    write_references(study, read_references(drawn, tmp_path))
    found = ReferencePictures(study).reference(first.id, [])
    assert found is not None and found[:2] == b'\xff\xd8'
    assert read_references(design, tmp_path) == {}
    (tmp_path / 'red.png').write_text('no picture')
    with pytest.raises(TrialError, match='is no picture'):
        read_references(drawn, tmp_path)
    (tmp_path / 'red.png').unlink()
    with pytest.raises(TrialError, match='No such file'):
        read_references(drawn, tmp_path)
