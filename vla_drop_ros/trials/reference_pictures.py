# SPDX-License-Identifier: Apache-2.0
"""Pictures of scenes: how each trial began, and what the next one is to look like.

The reference of a scene is the design's picture of it, or else how the scene looked when the
condition was last run: the second trial of a pair is to begin like the first.
"""

from collections.abc import Mapping, Sequence
from hashlib import sha256
import os
from pathlib import Path

import cv2
import numpy as np

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.design import Design

PICTURES, REFERENCES = 'pictures', 'references'


def read_references(design: Design, source: Path) -> dict[str, bytes]:
    """Return the pictures of a design as JPEG, by condition.

    Args:
        design: as people wrote it.
        source: folder from which its paths are meant.

    Raises:
        TrialError: one is absent or no picture.

    """
    found: dict[str, bytes] = {}
    for condition in design.conditions:
        if not condition.reference_image:
            continue
        path = source / condition.reference_image
        try:
            content = np.frombuffer(path.read_bytes(), np.uint8)
        except OSError as error:
            raise TrialError(f'condition {condition.id}: reference_image {path}: '
                             f'{error.strerror}') from error
        picture = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
        if picture is None:
            raise TrialError(f'condition {condition.id}: reference_image {path} is no picture; '
                             'JPEG and PNG are')
        found[condition.id] = cv2.imencode('.jpg', picture, (
            cv2.IMWRITE_JPEG_QUALITY, 90))[1].tobytes()
    return found


def write_references(folder: Path, pictures: Mapping[str, bytes]) -> None:
    """Write the pictures of a design into the folder of its study."""
    for condition, picture in pictures.items():
        path = folder / REFERENCES / f'{condition}.jpg'
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(picture)


def changed_references(folder: Path, design: Design) -> list[str]:
    """Return the conditions whose picture in a study is not the one that was locked."""
    found = []
    for condition in design.conditions:
        path = folder / REFERENCES / f'{condition.id}.jpg'
        try:
            same = not condition.picture or (
                sha256(path.read_bytes()).hexdigest() == condition.picture)
        except OSError:
            same = False
        found += [] if same else [condition.id]
    return found


class ReferencePictures:
    """JPEG files in the folder of a study; written once, never overwritten."""

    def __init__(self, folder: Path) -> None:
        """Keep the pictures of the study in ``folder``."""
        self._folder = folder

    def save(self, code: str, jpeg: bytes) -> tuple[str, str]:
        """Write the picture with which a trial began; return path in the folder, and sha256.

        Raises:
            TrialError: it cannot be written.

        """
        place = self._folder / PICTURES
        try:
            place.mkdir(exist_ok=True)
            path, number = place / f'{code}.jpg', 1
            while path.exists():  # the verdict before was undone, and the trial run again
                number += 1
                path = place / f'{code}-{number}.jpg'
            with path.open('xb') as file:
                file.write(jpeg)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise TrialError(f'cannot write a picture to {place}: {error.strerror}') from error
        return str(path.relative_to(self._folder)), sha256(jpeg).hexdigest()

    def reference(self, condition: str, attempts: Sequence[Attempt]) -> bytes | None:
        """Return how the scene of a condition is to look, None where nobody knows yet.

        Args:
            condition: id of the condition.
            attempts: every attempt so far, the current one last.

        """
        drawn = self._folder / REFERENCES / f'{condition}.jpg'
        seen = (self._folder / str(one.values['picture']['uri']) for one in reversed(attempts[:-1])
                if one.condition == condition and one.counts and one.values.get('picture'))
        path = drawn if drawn.is_file() else next(seen, None)
        try:
            return path.read_bytes() if path else None
        except OSError:
            return None
