# SPDX-License-Identifier: Apache-2.0
"""How scenes were to begin, and how they began, in pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from vla_drop_ros.report.document import Gallery, Photograph, Section, Table
from vla_drop_ros.report.recordings import Recordings
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.scenes import MOST_SCENES, Scene
from vla_drop_ros.report.sentences import number
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.reference_pictures import ReferencePictures

WIDTH, QUALITY = 320, 72  # [pixel], of JPEG: some 15 kB a picture
MOST_BYTES = 32 * 2**20  # of a file that is opened


def scenes_section(results: Results, recordings: Recordings) -> list[Section]:
    """Return the gallery; none where no picture was taken, or all are elsewhere."""
    attempts = {log.uuid: log.course.attempts for log in results.record.logs.values()}
    rows = [(shown, _caption(scene, recordings)) for scene in results.scenes
            if (shown := _photographs(scene, attempts[scene.row.log], recordings))]
    if not rows:
        return []
    taken = [row for row in results.rows if row.counted and row.text('picture', 'uri')]
    matches = tuple(
        (arm.name, number(arm.match), number(arm.worst_match), str(arm.matches))
        for arm in results.arms)
    return [Section('scenes', 'How scenes began', (
        Gallery(tuple(rows), 'Left: how the scene was to look. Right: how it looked at the '
                f'start. {len(rows)} of {len(taken)} trials with a picture, at most '
                f'{MOST_SCENES}: the first, the worst matches of every arm, and pairs that one '
                'arm alone solved. Match: 1 is the same picture.'),
        Table(('arm', 'match, median', 'the worst', 'trials'), matches)))]


def _caption(scene: Scene, recordings: Recordings) -> str:
    row = scene.row
    return (f'Trial {recordings.name(row.robot, row.code)}, {row.condition}, {row.arm}, '
            f'{row.verdict}: match {number(scene.match)}. {scene.why.capitalize()}.')


def _photographs(scene: Scene, attempts: Sequence[Attempt], recordings: Recordings
                 ) -> tuple[Photograph, ...]:
    row = scene.row
    place = next(place for place, one in enumerate(attempts) if one.code == row.code)
    path = recordings.place(row.log, row.text('picture', 'uri'))
    actual = None if path is None else thumbnail(_content(path))
    if path is None or actual is None:
        return ()
    name = f'scene-{row.log[:8]}-{row.code}'
    before = [one for one in attempts[:place] if recordings.place(row.log, _uri(one))]
    home = path.absolute().parent.parent  # of this robot's pictures
    wanted = ReferencePictures(home).reference(
        row.condition, [*before, attempts[place]])
    reference = thumbnail(wanted or b'')
    found = [] if reference is None else [Photograph(f'{name}-reference', reference,
                                                     'reference')]
    return (*found, Photograph(f'{name}-start', actual, f'trial {row.code}, start'))


def _uri(attempt: Attempt) -> str:
    picture = attempt.values.get('picture')
    return str(picture.get('uri', '')) if isinstance(picture, Mapping) else ''


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.stat().st_size <= MOST_BYTES else b''
    except OSError:
        return b''


def thumbnail(content: bytes) -> bytes | None:
    """Return a picture as a small JPEG, at most ``WIDTH`` wide; None where it is no picture."""
    data = np.frombuffer(content, np.uint8)
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    except cv2.error:  # larger than OpenCV opens
        picture = None
    if picture is None:
        return None
    height, width = picture.shape[:2]
    if width > WIDTH:
        size = WIDTH, max(1, round(height * WIDTH / width))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return cv2.imencode('.jpg', picture, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))[1].tobytes()
