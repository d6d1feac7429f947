# SPDX-License-Identifier: Apache-2.0
"""The log loses nothing that was acknowledged and hides nothing that was changed."""

import json
from pathlib import Path
import signal
import subprocess
import sys

import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.log import read_log, TrialLog


def write(path: Path, trials: int = 3) -> None:
    """Write a log with an opening and ``trials`` verdicts."""
    with TrialLog(path) as log:
        log.append('opened', {})
        for index in range(trials):
            log.append('judged', {'code': str(index), 'verdict': 'success'})


def test_what_was_written_is_read(tmp_path: Path) -> None:
    """Every event comes back in order; no line is torn."""
    path = tmp_path / 'new' / 'trial.jsonl'
    write(path)
    contents = read_log(path)
    assert [event.kind for event in contents.events] == ['opened', *['judged'] * 3]
    assert [event.data.get('code') for event in contents.events] == [None, '0', '1', '2']
    assert contents.torn == b''
    assert [event.sequence for event in contents.events] == [0, 1, 2, 3]


def test_existing_log_is_never_overwritten(tmp_path: Path) -> None:
    """Starting again without resume refuses and leaves the file as it was."""
    path = tmp_path / 'trial.jsonl'
    write(path)
    before = path.read_bytes()
    with pytest.raises(TrialError, match='resume'):
        TrialLog(path)
    assert path.read_bytes() == before


def test_resume_goes_on_with_the_chain(tmp_path: Path) -> None:
    """A resumed log goes on after its last line, or begins; its chain stays whole."""
    path = tmp_path / 'trial.jsonl'
    for _ in range(2):
        with TrialLog(path, resume=True) as log:
            log.append('session', {})
    assert [event.sequence for event in read_log(path).events] == [0, 1]


@pytest.mark.parametrize('cut', [1, 5, 100])
def test_torn_last_line_is_reported_and_repaired(tmp_path: Path, cut: int) -> None:
    """After a power cut the torn line is set aside, the rest kept, and the log says so."""
    path = tmp_path / 'trial.jsonl'
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    torn = read_log(path).torn
    assert torn and whole[:-cut].endswith(torn)
    TrialLog(path, resume=True).close()
    assert [event.kind for event in read_log(path).events] == [
        'opened', 'judged', 'judged', 'repaired']
    assert (tmp_path / 'trial.jsonl.torn').read_bytes() == torn + b'\n'


def test_torn_first_line_is_repaired(tmp_path: Path) -> None:
    """A log torn in its very first line can still be resumed."""
    path = tmp_path / 'trial.jsonl'
    path.write_bytes(b'{"sequence": 0, "prev')
    TrialLog(path, resume=True).close()
    assert [event.kind for event in read_log(path).events] == ['repaired']


@pytest.mark.parametrize('damage', ['edit', 'remove', 'swap', 'garbage'])
def test_changed_line_is_found(tmp_path: Path, damage: str) -> None:
    """An outcome edited afterwards, a line removed, moved or overwritten is an error."""
    path = tmp_path / 'trial.jsonl'
    write(path)
    lines = path.read_bytes().splitlines(keepends=True)
    if damage == 'edit':
        lines[1] = lines[1].replace(b'"success"', b'"failure"')
    elif damage == 'remove':
        del lines[1]
    elif damage == 'swap':
        lines[1], lines[2] = lines[2], lines[1]
    else:
        lines[1] = b'\x00\xff' + lines[1][2:]
    path.write_bytes(b''.join(lines))
    with pytest.raises(TrialError, match='line [23]'):
        read_log(path)
    with pytest.raises(TrialError, match='line [23]'):
        TrialLog(path, resume=True)


def test_full_disk_is_an_error_and_keeps_the_log_whole(tmp_path: Path) -> None:
    """When the line does not fit, the message says so and no torn line stays behind."""
    path = tmp_path / 'trial.jsonl'
    script = (
        'import resource, signal, sys\n'
        'from vla_drop_ros.errors import TrialError\n'
        'from vla_drop_ros.trials.log import TrialLog\n'
        'signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n'
        'resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))\n'
        'log = TrialLog(sys.argv[1])\n'
        'log.append("a", {"text": "x" * 100})\n'
        'try:\n'
        '    log.append("b", {"text": "x" * 2000})\n'
        'except TrialError as error:\n'
        '    sys.stderr.write(str(error))\n'
        'log.append("c", {"text": "x" * 100})\n')
    done = subprocess.run([sys.executable, '-c', script, str(path)], capture_output=True,
                          text=True, check=True)
    assert 'cannot append' in done.stderr and 'make room' in done.stderr
    contents = read_log(path)
    assert [event.kind for event in contents.events] == ['a', 'c']
    assert contents.torn == b''


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """A second process cannot interleave its lines."""
    path = tmp_path / 'trial.jsonl'
    with (TrialLog(path), pytest.raises(TrialError, match='another process')):
        TrialLog(path, resume=True)
    TrialLog(path, resume=True).close()


def test_acknowledged_lines_survive_a_kill(tmp_path: Path) -> None:
    """A process killed right after ``append`` returned has lost nothing."""
    path = tmp_path / 'trial.jsonl'
    script = ('import os, signal, sys\n'
              'from vla_drop_ros.trials.log import TrialLog\n'
              'log = TrialLog(sys.argv[1])\n'
              'log.append("kept", {"value": 1})\n'
              'os.kill(os.getpid(), signal.SIGKILL)\n')
    done = subprocess.run([sys.executable, '-c', script, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert [event.kind for event in read_log(path).events] == ['kept']


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file where the folder should be gives a message, not a traceback of the OS."""
    (tmp_path / 'file').write_text('')
    with pytest.raises(TrialError, match='cannot write'):
        TrialLog(tmp_path / 'file' / 'trial.jsonl')


def test_missing_log_is_named(tmp_path: Path) -> None:
    """Reading a log that is not there says which."""
    with pytest.raises(TrialError, match='absent.jsonl'):
        read_log(tmp_path / 'absent.jsonl')


def test_lines_are_plain_json(tmp_path: Path) -> None:
    """Any JSON reader can read the log, umlauts stay readable, nan never gets in."""
    path = tmp_path / 'trial.jsonl'
    with TrialLog(path) as log:
        log.append('note', {'text': 'Würfel'})
        with pytest.raises(ValueError, match='JSON'):
            log.append('note', {'value': float('nan')})
    assert json.loads(path.read_text(encoding='utf-8'))['data'] == {'text': 'Würfel'}
    assert 'Würfel'.encode() in path.read_bytes()


def test_half_a_surrogate_does_not_end_a_study(tmp_path: Path) -> None:
    """It is valid JSON that no file can hold; it is written as JSON writes it."""
    path = tmp_path / 'log.jsonl'
    with TrialLog(path) as log:
        log.append('judged', {'note': 'a\ud800b \U0001f600\n'})
    assert read_log(path).events[0].data == {'note': 'a\ud800b \U0001f600\n'}
