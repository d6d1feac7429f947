# SPDX-License-Identifier: Apache-2.0
"""Links lead to recordings in the study's folder, and never out of it."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import ModuleType

import pytest

from vla_drop_ros.report.document import Link
from vla_drop_ros.report.recordings import Recordings, recordings_of
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.study_record import read_record, StudyRecord
from vla_drop_ros.report.trial_row import rows_of

DATA = {
    'title': 'Two robots', 'question': 'Is half as good as the whole?',
    'arms': [{'name': 'baseline', 'checkpoint': 'reference'},
             {'name': 'half', 'checkpoint': 'reference-half'}],
    'conditions': [{'id': 'red', 'instruction': 'lift the red cube'}],
    'margin': 0.15, 'alpha': 0.05, 'stopping': {'rule': 'fixed', 'horizon': 4},
    'minimum_baseline': 0.5, 'timeout': 30.0, 'rest': 20.0, 'failure_reasons': ['dropped'],
    'invalid_reasons': ['camera_lost'], 'seed': 7}


@pytest.mark.parametrize(('uri', 'path'), [
    ('bags/3', 'bags/3'), ('../bags/3', None), ('bags/../../x', None), ('', None),
    ('/etc/passwd', None), ('https://x/y', None), ('javascript:x', None)])
def test_only_what_is_inside(tmp_path: Path, uri: str, path: str | None) -> None:
    """Relative paths below the folder pass, nothing else does."""
    found = Recordings(tmp_path, '..', False).inside(uri)
    assert found == (None if path is None else Path(path))


def test_absolute_paths_in_the_folder_become_relative(tmp_path: Path) -> None:
    """A recorder that wrote its whole path is understood."""
    assert Recordings(tmp_path, '..', False).inside(f'{tmp_path.resolve()}/bags/3') == Path(
        'bags/3')


def test_several_robots_are_named(opened: Results) -> None:
    """Trial 17 of one robot is not trial 17 of the other; without a recording it is text."""
    row = opened.rows[0]
    cell = Recordings(opened.record.folder, '..', True).link(row)
    assert isinstance(cell, tuple) and isinstance(cell[0], Link)
    assert cell[0].text == f'arm-1 {row.code} bag' and cell[1].text == 'picture'
    bare = Recordings(opened.record.folder, '..', False).link(replace(row, values={}))
    assert bare == row.code


def shared_record(tmp_path: Path, played: ModuleType, folders: tuple[str, str]) -> StudyRecord:
    """Return a study of two robots whose logs both name bags/1, as those of 0.5 did.

    The bag of each robot is written beside its log, the second over the first.
    """
    study, schedule = played.locked(tmp_path / 'study', DATA)
    paths = []
    for robot, rounds, name in zip('ab', ((0, 1), (1, 2)), folders, strict=True):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        paths.append(played.play(folder / f'{robot}.jsonl', study, schedule, 1, rounds,
                                 robot=robot, trials=1))
        bag = folder / 'bags' / '1' / '1.mcap'
        bag.parent.mkdir(parents=True, exist_ok=True)
        bag.write_bytes(robot.encode())
    record = read_record(tmp_path / 'study', paths)
    for log in record.logs.values():
        log.course.attempts[0].values['bag'] = {
            'uri': 'bags/1', 'sha256': sha256(log.opened['robot'].encode()).hexdigest()}
    return record


def places(record: StudyRecord) -> dict[str, Path | None]:
    """Return where bags/1 of every robot lies."""
    found = recordings_of(record, '..')
    return {str(log.opened['robot']): found.place(log.uuid, 'bags/1')
            for log in record.logs.values()}


def test_a_bag_lies_beside_the_log_that_names_it(tmp_path: Path, played: ModuleType) -> None:
    """Two robots, two folders, one name: each log leads to its own bag, by file and by link."""
    record = shared_record(tmp_path, played, ('study', 'other'))
    assert places(record) == {'a': tmp_path / 'study/bags/1', 'b': tmp_path / 'other/bags/1'}
    found, rows = recordings_of(record, '..'), rows_of(record)
    links = {row.robot: found.link(replace(row, values={'bag': {'uri': 'bags/1'}}))
             for row in rows}
    assert links == {'a': (Link(f'a {rows[0].code} bag', '../bags/1'),),
                     'b': (Link(f'b {rows[1].code} bag', '../../other/bags/1'),)}


def test_a_bag_that_replaced_another_is_not_shown_as_it(tmp_path: Path, played: ModuleType
                                                         ) -> None:
    """Folders were put together and one bag is left: it is the trial's whose hash it has."""
    record = shared_record(tmp_path, played, ('study', 'study'))
    assert places(record) == {'a': None, 'b': tmp_path / 'study/bags/1'}


def test_bags_in_the_folder_of_the_study_are_found_for_logs_elsewhere(
        tmp_path: Path, played: ModuleType) -> None:
    """A log that was copied alone leads into the folder of the study."""
    record = shared_record(tmp_path, played, ('study', 'other'))
    for log in record.logs.values():
        log.course.attempts[0].values['bag']['uri'] = f'bags/{log.opened["robot"]}'
    found = recordings_of(record, '..')
    assert [found.place(log.uuid, f'bags/{log.opened["robot"]}') for log in record.logs.values()
            ] == [tmp_path / 'study/bags/a', tmp_path / 'study/bags/b']
