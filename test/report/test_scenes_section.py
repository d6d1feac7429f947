# SPDX-License-Identifier: Apache-2.0
"""The gallery holds small pictures of the study's folder, and of nothing else."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from vla_drop_ros.report.document import Gallery
from vla_drop_ros.report.html_page import as_html
from vla_drop_ros.report.recordings import Recordings
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.scenes import Scene
from vla_drop_ros.report.scenes_section import scenes_section, thumbnail, WIDTH
from vla_drop_ros.report.sections import document


def gallery(results: Results) -> Gallery:
    """Return the gallery of a study."""
    section, = scenes_section(results, Recordings(results.record.folder, '..', False))
    found = section.blocks[0]
    assert isinstance(found, Gallery)
    return found


def test_it_shows_reference_and_start(opened: Results) -> None:
    """Every chosen scene with its match; the reference is how the condition looked before."""
    found = gallery(opened)
    assert len(found.rows) == len(opened.scenes)
    assert any(len(photographs) == 2 for photographs, _ in found.rows)
    for (photographs, text), scene in zip(found.rows, opened.scenes, strict=True):
        assert f'match {scene.match:.2f}' in text and scene.row.condition in text
        assert photographs[-1].words == f'trial {scene.row.code}, start'
        for one in photographs:
            picture = cv2.imdecode(np.frombuffer(one.jpeg, np.uint8), cv2.IMREAD_COLOR)
            assert picture is not None and picture.shape[1] == WIDTH and len(one.jpeg) < 40_000


def test_the_page_stays_small(opened: Results) -> None:
    """Pictures are part of the page, which stays below two megabytes."""
    page = as_html(document(opened))
    assert page.count('src="data:image/jpeg;base64,') >= len(opened.scenes)
    assert len(page) < 2_000_000


def test_pictures_from_elsewhere_are_not_read(opened: Results, tmp_path: Path) -> None:
    """A log of somebody else cannot name a file outside of the study; nor is one missed."""
    black = cv2.imencode('.jpg', np.zeros((9, 9, 3), np.uint8))[1]
    (tmp_path / 'mine.jpg').write_bytes(black.tobytes())
    for uri in (f'{tmp_path}/mine.jpg', '../mine.jpg', 'pictures/gone.jpg', 'log.jsonl'):
        row = replace(opened.scenes[0].row, values={'picture': {'uri': uri, 'match': 1.0}})
        assert scenes_section(replace(opened, scenes=(Scene(row, 'first', 1.0),)),
                              Recordings(opened.record.folder, '..', False)) == []


def test_thumbnails() -> None:
    """Large pictures shrink, small ones stay, and what is no picture is none."""
    large = cv2.imencode('.png', np.zeros((900, 1600, 3), np.uint8))[1].tobytes()
    small = thumbnail(large)
    assert small is not None
    shown = cv2.imdecode(np.frombuffer(small, np.uint8), cv2.IMREAD_COLOR)
    assert shown is not None and shown.shape == (180, WIDTH, 3)
    assert thumbnail(b'') is None and thumbnail(b'GIF89a?') is None
