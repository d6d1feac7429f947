# SPDX-License-Identifier: Apache-2.0
"""Finished episodes stay, whatever happens to the process that wrote them."""

import os
from pathlib import Path

import pytest

from vla_drop_ros.errors import EvaluationError
from vla_drop_ros.evaluation.record import Key, Record

FIRST: Key = ('f8a940dc8b3e', 0, 'nominal', 'own')
SECOND: Key = ('f8a940dc8b3e', 1, 'nominal', 'own')


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file with two episodes, in a folder that did not exist."""
    path = tmp_path / 'new' / 'episodes.jsonl'
    with Record(path) as record:
        record.add(FIRST, {'success': True, 'moved': None})
        record.add(SECOND, {'success': False, 'moved': 'red cube'})
    return path


def test_what_was_added_is_there_again(path: Path) -> None:
    """Opened again the record knows each episode by all that identifies it."""
    with Record(path) as record:
        assert len(record) == 2
        assert record[FIRST] == {'success': True, 'moved': None}
        for other in (('other', 0, 'nominal', 'own'), ('f8a940dc8b3e', 2, 'nominal', 'own'),
                      ('f8a940dc8b3e', 0, 'hard', 'own'), ('f8a940dc8b3e', 0, 'nominal', 'swap')):
            assert other not in record


def test_a_line_torn_anywhere_is_cut_off(path: Path) -> None:
    """Killed after any byte of the last line, the record loses that episode and no other."""
    whole = path.read_bytes()
    first = whole.index(b'\n') + 1
    for end in range(first, len(whole)):
        path.write_bytes(whole[:end])
        with Record(path) as record:
            assert FIRST in record and SECOND not in record
            record.add(SECOND, {'success': False, 'moved': 'red cube'})
        assert path.read_bytes() == whole


def test_one_writer(path: Path) -> None:
    """A second writer is refused while the first has the file, and welcome afterwards."""
    with Record(path), pytest.raises(EvaluationError, match='another process'):
        Record(path)
    with Record(path) as record:
        assert len(record) == 2


@pytest.mark.parametrize('line', [
    b'no json', b'[1, 2]', b'{"checkpoint": "f8"}', b'',
    b'{"checkpoint": "f8", "seed": "0", "variant": "n", "probe": "own", "result": {}}'])
def test_another_kind_of_file(path: Path, line: bytes) -> None:
    """A whole line that is no episode is named; nothing of the file is changed."""
    content = path.read_bytes() + line + b'\n'
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match='line 3'):
        Record(path)
    assert path.read_bytes() == content


def test_a_failed_write_leaves_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk refuses, the episode is not in the record, and it can be added later."""
    def full(_: object) -> None:
        raise OSError(28, 'No space left on device')

    before, key = path.read_bytes(), ('f8a940dc8b3e', 2, 'nominal', 'own')
    with Record(path) as record:
        with monkeypatch.context() as patch:
            patch.setattr(os, 'fsync', full)
            with pytest.raises(OSError, match='No space'):
                record.add(key, {})
        assert path.read_bytes() == before and key not in record
        record.add(key, {})
        assert len(record) == 3


def test_an_episode_is_added_once(path: Path) -> None:
    """The same episode twice is a mistake of the caller."""
    with Record(path) as record, pytest.raises(ValueError, match='already'):
        record.add(FIRST, {})
