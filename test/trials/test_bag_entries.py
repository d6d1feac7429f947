# SPDX-License-Identifier: Apache-2.0
"""A bag is in the log if the file says so, once, and nobody on the graph can replace it."""

from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
import json
import os
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.bag_entries import (
    check_file,
    FURTHER,
    placed,
    read_entry,
    UNREPORTED,
    unreported,
)
from vla_drop_ros.trials.bag_writer import BagWriter

SPEC = spec_from_file_location('bag_bench', Path(__file__).with_name('bag_bench.py'))
assert SPEC is not None and SPEC.loader is not None
BENCH = module_from_spec(SPEC)
SPEC.loader.exec_module(BENCH)
CONTENT = b'\x89MCAP0\r\n and so on'


def entry(**changes: Any) -> dict[str, Any]:
    """Return what the recorder says of the bag of trial 3."""
    return {'code': '3', 'uri': 'bags/3', 'sha256': sha256(CONTENT).hexdigest(), 'messages': 9,
            'lost': 0, 'topics': {}, 'problem': '', **changes}


@pytest.fixture(name='study')
def _study(tmp_path: Path) -> Path:
    for name in ('3', '3-2', '4'):
        (tmp_path / 'study' / 'bags' / name).mkdir(parents=True)
        (tmp_path / 'study' / 'bags' / name / f'{name}.mcap').write_bytes(CONTENT)
    (tmp_path / 'elsewhere.mcap').write_bytes(CONTENT)
    (tmp_path / 'study' / 'bags' / '3-9').mkdir()
    (tmp_path / 'study' / 'bags' / '3-9' / '3-9.mcap').symlink_to(tmp_path / 'elsewhere.mcap')
    return tmp_path / 'study'


def run() -> Attempt:
    """Return trial 3, which was run."""
    return Attempt('3', 2, 0, 'a', 'token', started=10.0, ended=12.0)


def test_what_the_recorder_says_is_believed(study: Path) -> None:
    """The bag of a trial, a second one, none with a reason, one that could not be read again."""
    for one in (entry(), entry(uri='bags/3-2'), entry(uri='', sha256='', problem='disk full'),
                entry(sha256='', problem='the disk takes no more')):
        assert read_entry(json.dumps(one)) == one
        check_file(one, study)


@pytest.mark.parametrize(('changes', 'why'), [
    ({'uri': 'bags/4'}, 'no bag of trial'), ({'uri': '/etc'}, 'no bag of trial'),
    ({'uri': 'bags/3/../4'}, 'no bag'), ({'uri': 'bags/3-7'}, 'cannot be read'),
    ({'uri': 'bags/3-9'}, 'out of the study'), ({'sha256': 'a' * 64}, 'another hash'),
    ({'sha256': ''}, 'another hash'), ({'uri': '', 'sha256': ''}, 'no bag of trial'),
    ({'code': '.*', 'uri': 'bags/3'}, 'no bag of trial')])
def test_what_the_file_does_not_say_is_refused(study: Path, changes: dict[str, Any],
                                               why: str) -> None:
    """Another trial's bag, one outside the study, one that is missing or has another hash."""
    with pytest.raises(TrialError, match=why):
        check_file(entry(**changes), study)


@pytest.mark.parametrize('text', [
    '', 'x', '[]', '[' * 100_000, '{"code": "3"}', json.dumps({**entry(), 'arm': 'half'}),
    json.dumps(entry(lost=True)), json.dumps(entry(uri=None)), json.dumps(entry(code=3)),
    json.dumps(entry(topics={'/clock': float('nan')})), json.dumps(entry(code='3\0')),
    json.dumps(entry(code='\ud800'))])
def test_what_is_no_entry_is_refused(text: str) -> None:
    """Whatever comes on the topic, it is a sentence."""
    with pytest.raises(TrialError, match='no report of a bag'):
        read_entry(text)


def test_an_entry_is_placed_once_and_never_replaced() -> None:
    """The same again says nothing; another hash, or no bag at all, contradicts the log."""
    attempt = run()
    attempt.apply('measured', {'values': placed(entry(uri='', sha256='', problem='full'),
                                                [attempt])})
    assert attempt.values['bag']['problem'] == 'full'
    attempt.apply('measured', {'values': placed(entry(), [attempt])})  # a bag after all
    assert attempt.values['bag']['uri'] == 'bags/3' and 'code' not in attempt.values['bag']
    before = dict(attempt.values)
    assert placed(entry(), [attempt]) == {} and placed(entry(lost=7), [attempt]) == {}
    with pytest.raises(TrialError, match='another hash'):
        placed(entry(sha256='b' * 64), [attempt])
    with pytest.raises(TrialError, match='has a bag'):
        placed(entry(uri='', sha256='', problem='none'), [attempt])
    assert attempt.values == before
    for attempts in ([], [Attempt('3', 2, 0, 'a', 'token')]):
        with pytest.raises(TrialError, match='was not run'):
            placed(entry(), attempts)


def test_a_second_bag_stands_beside_the_first() -> None:
    """Of a recorder that was started anew in the trial; a few, and each once."""
    attempt = run()
    for number in range(1, FURTHER + 5):
        uri = 'bags/3' if number == 1 else f'bags/3-{number}'
        for _ in range(2):
            attempt.apply('measured', {'values': placed(entry(uri=uri), [attempt])})
    assert attempt.values['bag']['uri'] == 'bags/3'
    assert [one['uri'] for one in attempt.values['further_bags']] == [
        f'bags/3-{number}' for number in range(2, FURTHER + 2)]


def test_whole_bags_that_nobody_reported_are_found(study: Path) -> None:
    """Of trials that were run and have none, a second one too; none that was cut off."""
    for _ in range(2):  # the second as of a recorder that was started anew
        bag = BagWriter(study, '5', 'jazzy')
        bag.write(BENCH.INSTRUCTION, 1, BENCH.text('go'))
        report = bag.close()
    trials = [run(), *(Attempt(code, 0, 0, 'a', 'token', started=1.0) for code in ('5', '55'))]
    found = list(unreported([*trials, Attempt('4', 0, 0, 'a', 'token')], study))
    assert [one['uri'] for one in found] == ['bags/5', report.uri] and report.uri != 'bags/5'
    assert found[1] == {
        'code': '5', 'uri': report.uri, 'sha256': report.sha256, 'messages': 1,
        'topics': {'/instruction': {'messages': 1}}, 'problem': UNREPORTED}
    for one in found:
        trials[1].apply('measured', {'values': placed(one, trials)})
    assert [trials[1].values['bag'], *trials[1].values['further_bags']] == [
        {key: value for key, value in one.items() if key != 'code'} for one in found]
    assert not list(unreported(trials, study))


def test_a_mended_first_bag_enters_the_log_beside_the_second(study: Path) -> None:
    """The recorder was killed, its successor reported a second bag, people mended the first."""
    attempt = run()
    attempt.apply('measured', {'values': placed(entry(uri='bags/3-2'), [attempt])})
    assert not list(unreported([attempt], study))
    (study / 'bags' / '3' / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information: {message_count: 5, topics_with_message_count: []}')
    found, = unreported([attempt], study)
    assert found['uri'] == 'bags/3'
    attempt.apply('measured', {'values': placed(found, [attempt])})
    assert attempt.values['further_bags'][0]['uri'] == 'bags/3'
    assert not list(unreported([attempt], study))


@pytest.mark.parametrize('metadata', [
    'rosbag2_bagfile_information: {message_count: .inf, topics_with_message_count: []}',
    '[' * 5000, '\0', 'rosbag2_bagfile_information: 3', None])
def test_metadata_that_is_none_is_passed_over(study: Path, metadata: str | None) -> None:
    """Whatever lies there, also what is no file: other bags are found all the same."""
    path = study / 'bags' / '3' / 'metadata.yaml'
    if metadata is None:
        os.mkfifo(path)
    else:
        path.write_text(metadata)
    (study / 'bags' / '3-2' / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information: {message_count: 5, topics_with_message_count: []}')
    assert [one['uri'] for one in unreported([run()], study)] == ['bags/3-2']


def test_a_bag_that_is_cut_off_is_not_read(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It may have gigabytes, and is looked at again and again while a node ends."""
    def refuse(path: Path, study: Path) -> str:
        raise AssertionError(path)

    monkeypatch.setattr('vla_drop_ros.trials.bag_entries._digest', refuse)
    assert not list(unreported([run()], study))
    (study / 'bags' / '3' / 'metadata.yaml').write_text(
        'rosbag2_bagfile_information: {message_count: 5, topics_with_message_count: []}')
    monkeypatch.undo()
    assert [one['messages'] for one in unreported([run()], study)] == [5]
