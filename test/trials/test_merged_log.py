# SPDX-License-Identifier: Apache-2.0
"""Logs of one study add up to the same, however they are split, copied, ordered and merged."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.locked_study import LockedStudy
from vla_drop_ros.trials.log import FIRST, read_log, TrialLog
from vla_drop_ros.trials.merged_log import attempts_of, merge, merged, read_logs
from vla_drop_ros.trials.pairs import pairs_of
from vla_drop_ros.trials.sealed_schedule import SealedSchedule
from vla_drop_ros.trials.unblinding import outcomes_of
from vla_drop_ros.trials.verdict import judge


@dataclass
class Played:
    """A study that three robots ran, each its rounds, the first one over two days."""

    folder: Path
    study: LockedStudy
    schedule: SealedSchedule
    logs: list[Path]

    def verdict(self, paths: Sequence[Path]) -> dict[str, Any]:
        """Return what the report would rest on."""
        design = self.study.design
        attempts = attempts_of(read_logs(paths, self.study, self.schedule))
        outcomes = outcomes_of(attempts, self.schedule, design)
        pairs = pairs_of(outcomes, design.arms[0].name, design.arms[1].name)
        return judge(pairs, design, self.study.boundaries).to_dict()


@pytest.fixture(name='three', scope='module')
def _three(tmp_path_factory: pytest.TempPathFactory, played: ModuleType) -> Played:
    folder = tmp_path_factory.mktemp('study')
    data = {
        'title': 'T', 'question': 'Q?', 'margin': 0.15, 'alpha': 0.05,
        'arms': [{'name': 'baseline', 'checkpoint': 'reference'},
                 {'name': 'half', 'checkpoint': 'reference-half'}],
        'conditions': [{'id': name, 'instruction': name} for name in ('a', 'b', 'c')],
        'stopping': {'rule': 'exact_paired', 'horizon': 36}, 'minimum_baseline': 0.2,
        'timeout': 30.0, 'rest': 1.0, 'failure_reasons': ['dropped'],
        'invalid_reasons': ['camera_lost'], 'seed': 7}
    study, schedule = played.locked(folder, data)
    logs = []
    for number, rounds in enumerate([(0, 5), (5, 9), (9, 0)]):
        path = folder / f'robot{number}.jsonl'
        for day in range(2 if number == 0 else 1):
            played.play(path, study, schedule, seed=10 * number + day, rounds=rounds,
                        trials=7 if number == 0 and day == 0 else 10**6, robot=f'robot{number}')
        logs.append(path)
    return Played(folder, study, schedule, logs)


def copy_of(path: Path, folder: Path, rng: np.random.Generator) -> Path:
    """Return a copy of a log that was made at some earlier time, perhaps while it was written."""
    lines = path.read_bytes().splitlines(keepends=True)
    keep = int(rng.integers(1 + next(number for number, line in enumerate(lines)
                                     if b'"opened"' in line), len(lines) + 1))
    torn = lines[keep][:int(rng.integers(len(lines[keep])))] if keep < len(lines) else b''
    copy = folder / f'{path.stem}-{keep}-{len(torn)}.jsonl'
    copy.write_bytes(b''.join(lines[:keep]) + torn)
    return copy


def test_logs_are_read_by_uuid(three: Played) -> None:
    """Each log is there once, with its events, its state, and its place in the file."""
    logs = read_logs(three.logs, three.study, three.schedule)
    assert [log.source for log in logs.values()] == three.logs
    for uuid, log in logs.items():
        contents = read_log(log.source)
        assert log.uuid == uuid == log.opened['log']
        assert (log.events, log.torn, log.first) == (contents.events, 0, 1)
    counted = sorted(one.index for one in attempts_of(logs) if one.counts)
    assert counted == list(range(2 * 36)), 'every place has one verdict that counts'
    assert sum(one.verdict == 'invalid' for one in attempts_of(logs)) > 2


@pytest.mark.parametrize('seed', range(25))
def test_merging_is_associative_commutative_and_idempotent(
        three: Played, tmp_path: Path, seed: int) -> None:
    """Copies and older copies, in any order, merged in any tree, give the same bytes."""
    rng = np.random.default_rng(seed)
    expected = merged(read_logs(three.logs))
    pile = [*three.logs, *(copy_of(three.logs[int(rng.integers(3))], tmp_path, rng)
                           for _ in range(int(rng.integers(6))))]
    rng.shuffle(pile)
    assert merged(read_logs(pile)) == expected
    step = 0
    while len(pile) > 1:  # merge random handfuls until one file is left
        rng.shuffle(pile)
        size = int(rng.integers(2, 4))
        output = tmp_path / f'step{step}.jsonl'
        merge(pile[:size], output)
        pile, step = [*pile[size:], output], step + 1
        if rng.random() < 0.3:  # one of the parts comes again
            pile.append(three.logs[int(rng.integers(3))])
    assert pile[0].read_bytes() == expected
    again = tmp_path / 'again.jsonl'
    merge([pile[0], pile[0], *three.logs], again)
    assert again.read_bytes() == expected


def test_the_verdict_is_the_same_read_again_merged_or_replayed(
        three: Played, tmp_path: Path) -> None:
    """Three logs, their merged file, both, and shuffled copies end in one verdict, to the bit."""
    expected = three.verdict(three.logs)
    assert expected['counts'] and expected['left_out'] == 0
    output = tmp_path / 'all.jsonl'
    merge(three.logs, output)
    rng = np.random.default_rng(3)
    piles = [three.logs[::-1], three.logs * 2, [output], [*three.logs, output],
             [copy_of(three.logs[0], tmp_path, rng), output]]
    assert all(three.verdict(pile) == expected for pile in piles)


def test_a_merged_file_keeps_every_line(three: Played, tmp_path: Path) -> None:
    """Nothing is written anew: each log's lines stand together, and their chain holds."""
    output = tmp_path / 'all.jsonl'
    merge(three.logs, output)
    assert output.read_bytes() == b''.join(path.read_bytes() for path in three.logs)
    tip = FIRST
    for line in output.read_bytes().splitlines():
        data = json.loads(line)
        assert data['previous'] == (tip if data['sequence'] else FIRST)
        tip = sha256(line).hexdigest()
    merge([output], output)  # the same again changes nothing
    with pytest.raises(TrialError, match='never overwritten'):
        merge(three.logs[:2], output)
    assert not list(tmp_path.glob('*.partial'))


def test_a_torn_end_says_nothing_and_is_reported(three: Played, tmp_path: Path) -> None:
    """What a crash left half written is no line; the merged file is whole."""
    torn = tmp_path / 'torn.jsonl'
    torn.write_bytes(three.logs[1].read_bytes() + b'{"sequence": 99')
    [log] = read_logs([torn]).values()
    assert log.torn == 15
    assert merged(read_logs([torn])) == three.logs[1].read_bytes()


def test_copies_that_went_on_apart_are_refused(three: Played, tmp_path: Path,
                                               played: ModuleType) -> None:
    """A copy that a second robot went on with contradicts the first; both lines are named."""
    lines = three.logs[0].read_bytes().splitlines(keepends=True)
    fork = tmp_path / 'fork.jsonl'
    fork.write_bytes(b''.join(lines[:30]))
    played.play(fork, three.study, three.schedule, seed=99, rounds=(0, 5), robot='robot0')
    with pytest.raises(TrialError, match=r'robot0.jsonl, line 31.* differ.*leave the other out'):
        read_logs([three.logs[0], fork])


def opened(path: Path, copy: Path, who: str, keep: int | None = None, ended: bool = True) -> Path:
    """Return a copy of a log, or of its first lines, into which somebody's opening is written."""
    lines = path.read_bytes().splitlines(keepends=True)
    copy.write_bytes(b''.join(lines[:keep]))
    with TrialLog(copy, resume=True) as log:
        log.append('unblinded', {'who': who, 'ended': ended})
    return copy


@pytest.mark.parametrize('seed', range(3))
def test_copies_that_were_opened_apart_are_merged(three: Played, tmp_path: Path,
                                                  seed: int) -> None:
    """Whoever opened which copy, at the end or before, in any order and tree: all is kept once."""
    rng = np.random.default_rng(seed)
    first = three.logs[0]
    pile = [opened(first, tmp_path / 'ann.jsonl', 'ann'),
            opened(first, tmp_path / 'bob.jsonl', 'bob'),
            opened(first, tmp_path / 'early.jsonl', 'eve', 30, ended=False), *three.logs]
    pile.append(opened(pile[2], tmp_path / 'twice.jsonl', 'fay', ended=False))
    logs = read_logs(pile)
    expected = merged(logs)
    [log] = [one for one in logs.values() if one.asides]
    who = [event.data['who'] for event in (*log.events, *log.openings)
           if event.kind == 'unblinded']
    assert sorted(who) == ['ann', 'bob', 'eve', 'fay']
    assert set(expected.splitlines()) == {
        line for path in pile for line in path.read_bytes().splitlines()}
    step = 0
    while len(pile) > 1:
        rng.shuffle(pile)
        output = tmp_path / f'step{step}.jsonl'
        merge(pile[:2], output)
        pile, step = [*pile[2:], output], step + 1
        if step == 2:
            pile.append(tmp_path / 'bob.jsonl')
    assert pile[0].read_bytes() == expected
    assert three.verdict(pile) == three.verdict(three.logs)


def test_only_openings_may_stand_apart(three: Played, tmp_path: Path, played: ModuleType) -> None:
    """The log goes on after an opening; two that went on, or a made up opening, are refused."""
    early = opened(three.logs[0], tmp_path / 'early.jsonl', 'eve', 30, ended=False)
    output = tmp_path / 'all.jsonl'
    [log] = merge([early, three.logs[0]], output).values()
    assert log.source == three.logs[0] and len(log.asides) == 1
    played.play(early, three.study, three.schedule, seed=99, rounds=(0, 5), robot='robot0')
    with pytest.raises(TrialError, match='differ'):
        read_logs([output, early])
    lines = output.read_bytes().splitlines(keepends=True)
    for forged in (lines[-1].replace(b'"sequence": 30', b'"sequence": 31'),
                   lines[-1].replace(b'"unblinded"', b'"amendment"'),
                   lines[-1].replace(b'"previous": "', b'"previous": "0')):
        assert forged != lines[-1]
        output.write_bytes(b''.join(lines[:-1]) + forged)
        with pytest.raises(TrialError, match=f'all.jsonl, line {len(lines)}: '):
            read_logs([output])


def test_another_study_is_refused(three: Played, tmp_path: Path, played: ModuleType,
                                  design_data: dict[str, Any]) -> None:
    """Design and seal of the logs must be one, and those of the study that is reported."""
    study, schedule = played.locked(tmp_path / 'other', design_data)
    other = played.play(tmp_path / 'other.jsonl', study, schedule, seed=1, trials=3)
    with pytest.raises(TrialError, match='other.jsonl, line 1.*another study, its design'):
        read_logs([three.logs[0], other])
    with pytest.raises(TrialError, match='robot0.jsonl, line 1.*that is asked for'):
        read_logs([three.logs[0]], study)
    same, sealed = played.locked(tmp_path / 'again', {**design_data})
    twin = played.play(tmp_path / 'twin.jsonl', same, sealed, seed=1, trials=3)
    with pytest.raises(TrialError, match='its sealed schedule'):
        read_logs([other, twin])


def test_one_place_with_two_verdicts_is_refused(three: Played, tmp_path: Path,
                                                played: ModuleType) -> None:
    """Two robots that ran the same rounds cannot be added up; an unjudged trial is no harm."""
    double = played.play(tmp_path / 'double.jsonl', three.study, three.schedule, seed=4,
                         rounds=(5, 9), trials=0, robot='robot7')
    read_logs([*three.logs, double])
    played.play(double, three.study, three.schedule, seed=4, rounds=(5, 9), trials=2,
                truth=played.Truth(invalid=0.0, undone=0.0), robot='robot7')
    with pytest.raises(TrialError, match=r'robot1.jsonl, line \d+, and .*double.jsonl, line 3.*'
                                         r'schedule, 30\. .*rounds of its own'):
        read_logs([*three.logs, double])


def test_tokens_that_do_not_match_are_refused(three: Played, tmp_path: Path,
                                              played: ModuleType) -> None:
    """A log whose tokens are made up is found out by its form, by another log, or by the seal."""
    def forged(change: Any) -> Path:
        """Return the log of the second robot, its chain made anew after a change."""
        path, tip, out = tmp_path / 'forged.jsonl', FIRST, []
        for line in three.logs[1].read_bytes().splitlines():
            data = json.loads(line)
            if data['kind'] == 'opened':
                data['data']['log'] = 'f' * 32
            if data['kind'] == 'issued':
                change(data['data'])
            out.append(json.dumps({**data, 'previous': tip}, ensure_ascii=False).encode())
            tip = sha256(out[-1]).hexdigest()
        path.write_bytes(b''.join(line + b'\n' for line in out))
        return path

    with pytest.raises(TrialError, match='forged.jsonl, line 3.*token'):
        read_logs([forged(lambda data: data.update(token='0.0.' + 'e' * 24))])
    made_up = forged(lambda data: data.update(token=data['token'][:-24] + 'e' * 24))
    with pytest.raises(TrialError, match='line 3.*token or condition'):
        read_logs([three.logs[1], made_up])
    read_logs([made_up])
    with pytest.raises(TrialError, match='forged.jsonl, line 3.*of the schedule'):
        read_logs([made_up], three.study, three.schedule)


@pytest.mark.parametrize(('content', 'message'), [
    (b'', 'no complete line'), (b'{"sequence": 0', 'no complete line'),
    (b'not json\n', 'line 1: not JSON'), (b'[' * 100_000 + b'\n', 'line 1: not JSON'),
    (b'{}\n', 'line 1: not an event'),
    (b'{"sequence": 0, "previous": "' + FIRST.encode() + b'", "wall": "", "kind": "study", '
     b'"data": {}}\n', 'line 1: the log that begins here does not say log, study'),
    (b'{"sequence": 0, "previous": "' + FIRST.encode() + b'", "wall": "", "kind": "opened", '
     b'"data": []}\n', 'line 1: not an event'),
    (b'{"sequence": 0, "previous": "' + FIRST.encode() + b'", "wall": "", "kind": "opened", '
     b'"data": {"log": "a", "study": "b", "commitment": 5}}\n', 'does not say commitment')])
def test_what_is_no_log_of_a_study_is_named(tmp_path: Path, content: bytes,
                                            message: str) -> None:
    """Whatever is handed over, the message names file and line."""
    path = tmp_path / 'some.jsonl'
    path.write_bytes(content)
    with pytest.raises(TrialError, match=f'some.jsonl.*{message}'):
        read_logs([path])


def test_events_that_do_not_fit_are_named(tmp_path: Path) -> None:
    """A verdict on a trial that was never issued is an error of a line, not a traceback."""
    path, tip, lines = tmp_path / 'some.jsonl', FIRST, []
    for number, (kind, data) in enumerate([
            ('opened', {'log': 'a', 'study': 'b', 'commitment': 'c'}), ('strange', {}),
            ('judged', {'code': '5'})]):
        lines.append(json.dumps({'sequence': number, 'previous': tip, 'wall': '', 'kind': kind,
                                 'data': data}).encode())
        tip = sha256(lines[-1]).hexdigest()
    path.write_bytes(b'\n'.join(lines) + b'\n')
    with pytest.raises(TrialError, match="some.jsonl, line 3: the event 'judged' does not fit"):
        read_logs([path])


def test_damage_in_a_merged_file_is_found(three: Played, tmp_path: Path) -> None:
    """A line removed, edited or moved within a merged file breaks its chain, the seams too."""
    output = tmp_path / 'all.jsonl'
    merge(three.logs, output)
    lines = output.read_bytes().splitlines(keepends=True)
    seam = len(three.logs[0].read_bytes().splitlines())
    for number in (3, seam, seam + 4):
        output.write_bytes(b''.join(lines[:number] + lines[number + 1:]))
        with pytest.raises(TrialError, match=f'all.jsonl, line {number + 1}: does not follow'):
            read_logs([output])
    lines[seam + 2] = lines[seam + 2].replace(b'"condition"', b'"Condition"')
    output.write_bytes(b''.join(lines))
    with pytest.raises(TrialError, match=f'all.jsonl, line {seam + 3 + 1}|does not fit'):
        read_logs([output])


def test_nothing_to_merge_and_nowhere_to_write(three: Played, tmp_path: Path) -> None:
    """Both are said in words."""
    with pytest.raises(TrialError, match='nothing to merge'):
        merge([], tmp_path / 'all.jsonl')
    with pytest.raises(TrialError, match='cannot write'):
        merge(three.logs, tmp_path / 'absent' / 'all.jsonl')
