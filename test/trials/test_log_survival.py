# SPDX-License-Identifier: Apache-2.0
"""A real writer is killed hundreds of times, and disks run full: nothing acknowledged is lost."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
import json
import os
from pathlib import Path
import select
import signal
import subprocess
import sys
import time
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.conductor import Conductor
from vla_drop_ros.trials.course import Phase
from vla_drop_ros.trials.locked_study import LockedStudy
from vla_drop_ros.trials.log import read_log, TrialLog
from vla_drop_ros.trials.sealed_schedule import SealedSchedule

KILLS, STUDIES = 320, 32
FIXED = {'stopping': {'rule': 'fixed', 'horizon': 60}}

# A server that forks a writer for every line it gets, so that a kill costs milliseconds, not the
# start of an interpreter. The writer conducts a study with random presses until it is killed, and
# acknowledges every event by its sequence and the sha256 of its line once append has returned.
SERVER = """
import json, os, sys
from pathlib import Path
import numpy as np
from vla_drop_ros.trials.conductor import Conductor, Verb, VERBS
from vla_drop_ros.trials.locked_study import load_study, open_schedule
from vla_drop_ros.trials.study_log import begin_session, open_log

def write(folder, path, seed, long):
    study = load_study(folder)
    schedule = open_schedule(folder, study)
    log, events = open_log(path, study, 'robot', (0, 0), '0')

    def append(kind, data):
        event = log.append(kind, data)
        os.write(1, f'ack {event.sequence} {log._tip}\\n'.encode())

    rng = np.random.default_rng(seed)
    begin_session(log, events, 'P1', 'robot', {})
    conductor = Conductor(study.design, schedule, append, lambda attempts: False)
    conductor.resume([(event.kind, event.data) for event in events])
    names = [*VERBS, 'start', 'stop', 'success', 'failure', 'start', 'stop', 'success']
    now = 0.0
    while True:
        now += 1.0
        name = str(rng.choice(names))
        reason = {'invalid': 'reset_failed', 'failure': 'dropped', 'guess': 'unsure'}.get(name, '')
        conductor.take(Verb(name, 'web', 'P1', stage='reached', reason=reason), now)
        if long and rng.random() < 0.3:  # a line of a megabyte, which a kill can tear
            text = 'x' * int(rng.integers(500_000, 2_000_000))
            os.write(1, b'long\\n')
            conductor.measure(conductor.current.code, {'trace': text})

for line in sys.stdin:
    folder, path, seed, long = json.loads(line)
    child = os.fork()
    if child == 0:
        os.write(1, f'pid {os.getpid()}\\n'.encode())
        try:
            write(Path(folder), Path(path), seed, long)
        except BaseException as error:
            os.write(1, f'error {error!r}\\n'.encode())
        os._exit(1)
    _, status = os.waitpid(child, 0)
    os.write(1, f'end {os.WTERMSIG(status) if os.WIFSIGNALED(status) else -1}\\n'.encode())
"""


@dataclass
class Writers:
    """Starts writers and kills them."""

    process: 'subprocess.Popen[bytes]'
    left: bytes = b''
    acknowledged: dict[int, str] = field(default_factory=dict)

    def line(self, timeout: float) -> str:
        """Return the next line of the writer, '' when there is none in time."""
        assert self.process.stdout is not None
        end = time.monotonic() + timeout
        while b'\n' not in self.left:
            ready, _, _ = select.select([self.process.stdout], [], [],
                                        max(0.0, end - time.monotonic()))
            if not ready:
                return ''
            found = os.read(self.process.stdout.fileno(), 65536)
            assert found, 'the server ended'
            self.left += found
        line, self.left = self.left.split(b'\n', 1)
        return line.decode()

    def take(self, line: str) -> str:
        """Keep what was acknowledged; return the first word."""
        word, _, rest = line.partition(' ')
        if word != 'long':
            assert word == 'ack', line
            sequence, tip = rest.split()
            self.acknowledged[int(sequence)] = tip
        return word

    def kill_one(self, folder: Path, path: Path, rng: np.random.Generator) -> None:
        """Start a writer, and kill it at a random instant."""
        assert self.process.stdin is not None
        long, delay = bool(rng.random() < 0.25), float(rng.uniform(0.0, 0.006))
        order = [str(folder), str(path), int(rng.integers(2**31)), long]
        self.process.stdin.write(json.dumps(order).encode() + b'\n')
        self.process.stdin.flush()
        pid = int(self.line(30.0).removeprefix('pid '))
        if long:  # while it writes a long line; else while it opens the log, or soon after
            while self.take(self.line(30.0)) != 'long':
                pass
            size, end = path.stat().st_size, time.perf_counter() + 1.0
            while path.stat().st_size == size and time.perf_counter() < end:
                pass
            delay = 0.0
        elif rng.random() < 0.8:
            for _ in range(int(rng.integers(1, 25))):
                self.take(self.line(30.0))
        end = time.perf_counter() + delay
        while time.perf_counter() < end:
            pass
        os.kill(pid, signal.SIGKILL)
        while not (line := self.line(30.0)).startswith('end'):
            self.take(line)
        assert line == f'end {signal.SIGKILL.value}'


@pytest.fixture(name='study')
def _study(tmp_path: Path, played: ModuleType, design_data: dict[str, Any]
           ) -> tuple[Path, LockedStudy, SealedSchedule]:
    study, schedule = played.locked(tmp_path / 'study', design_data | FIXED)
    return tmp_path / 'study', study, schedule


@pytest.fixture(name='writers')
def _writers() -> Iterator[Writers]:
    with subprocess.Popen(
            [sys.executable, '-c', SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'OPENBLAS_NUM_THREADS': '1'},
            cwd=Path(__file__).resolve().parents[2]) as process:
        yield Writers(process)
        assert process.stdin is not None
        process.stdin.close()


def resumed(study: LockedStudy, schedule: SealedSchedule, path: Path) -> Conductor:
    """Return the conductor that goes on with a log, its own events only in memory."""
    conductor = Conductor(study.design, schedule, lambda kind, data: None, lambda attempts: False)
    conductor.resume([(event.kind, event.data) for event in read_log(path).events])
    return conductor


def check(path: Path, study: LockedStudy, schedule: SealedSchedule, writers: Writers) -> bytes:
    """Check a log after a kill; return its torn line."""
    contents = read_log(path)  # checks every line and the chain
    lines = path.read_bytes().split(b'\n')
    for sequence, tip in writers.acknowledged.items():
        assert sequence < len(contents.events), f'event {sequence} was acknowledged and is lost'
        assert sha256(lines[sequence]).hexdigest() == tip, f'event {sequence} is another'
    conductor = resumed(study, schedule, path)
    counted = [one.index for one in conductor.attempts if one.counts]
    assert counted == sorted(set(counted)), 'a place has two verdicts that count'
    assert conductor.phase in (Phase.ARRANGE, Phase.JUDGE, Phase.FINISHED)
    assert all(one.counts or one.verdict == 'invalid' for one in conductor.attempts[:-1])
    return contents.torn


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_by_any_kill(
        study: tuple[Path, LockedStudy, SealedSchedule], writers: Writers,
        tmp_path: Path) -> None:
    """Killed at 320 random instants, every event that was acknowledged stays, and stays whole.

    Torn lines do occur, since some lines have megabytes; the next writer moves each aside and
    says so. The state told from the log never has two verdicts for a place.
    """
    folder, locked, schedule = study
    rng = np.random.default_rng(11)
    events = torn_lines = unsaid = 0
    for number in range(STUDIES):
        path = tmp_path / f'log{number}.jsonl'
        writers.acknowledged.clear()
        torn: set[bytes] = set()
        for _ in range(KILLS // STUDIES):
            writers.kill_one(folder, path, rng)
            if path.exists() and (line := check(path, locked, schedule, writers)):
                torn.add(line)
        TrialLog(path, resume=True).close()
        contents = read_log(path)
        assert contents.torn == b''
        told = [event.data['torn_bytes'] for event in contents.events
                if event.kind == 'repaired']
        # A kill within a repair can come between moving the line aside and saying so; then only
        # the file of torn lines has it.
        assert set(told) <= {len(line) for line in torn}
        unsaid += len(torn) - len(told)
        aside = path.with_name(path.name + '.torn')
        kept = aside.read_bytes() if aside.exists() else b''
        assert all(line in kept for line in torn)
        events += len(writers.acknowledged)
        torn_lines += len(torn)
    assert events > 5 * KILLS
    assert torn_lines > 3, 'too few kills hit a line that was being written'
    assert unsaid <= torn_lines // 5


def test_a_cut_at_any_byte_loses_the_last_line_only(
        study: tuple[Path, LockedStudy, SealedSchedule], tmp_path: Path,
        played: ModuleType) -> None:
    """A power cut may leave any part of the last line; the log goes on from the line before."""
    _, locked, schedule = study
    whole = played.play(tmp_path / 'log.jsonl', locked, schedule, seed=1, trials=6).read_bytes()
    before = whole[:whole[:-1].rfind(b'\n') + 1]
    path = tmp_path / 'cut.jsonl'
    for size in range(len(before) + 1, len(whole), 3):
        path.write_bytes(whole[:size])
        with TrialLog(path, resume=True) as log:
            log.append('note', {})
        assert path.read_bytes().startswith(before)
        kinds = [event.kind for event in read_log(path).events]
        assert kinds[-2:] == ['repaired', 'note']
        assert read_log(path).events[-2].data == {'torn_bytes': size - len(before)}


FULL = """
import json, os, signal, sys
from pathlib import Path
import resource
from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.conductor import Conductor, Verb
from vla_drop_ros.trials.locked_study import load_study, open_schedule
from vla_drop_ros.trials.log import read_log
from vla_drop_ros.trials.study_log import open_log

folder, path, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
filler = path.with_name('filler')

def fill(room):
    if how == 'limit':
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (
            path.stat().st_size + room, resource.RLIM_INFINITY))
        return
    with filler.open('wb', buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

def free():
    if how == 'limit':
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    else:
        filler.unlink()

study = load_study(folder)
log, events = open_log(path, study, 'robot', (0, 0), '0')
conductor = Conductor(study.design, open_schedule(folder, study), log.append, lambda a: False)
conductor.resume([(event.kind, event.data) for event in events])
state = lambda: repr((conductor.phase, conductor.attempts, conductor.course.may_stop))
errors, now = [], 0.0

def press(name):
    global now
    now += 1.0
    return conductor.take(Verb(name, 'web', 'P1'), now).done

for room in range(5, 500, 13):
    fill(room)
    for _ in range(2000):
        whole, before = path.read_bytes(), state()
        try:
            name = {'ARRANGE': 'start', 'RUNNING': 'stop', 'JUDGE': 'success',
                    'FINISHED': 'undo'}[conductor.phase.name]
            pending = conductor.phase.name == 'ARRANGE' and conductor.current.judged
            assert press(name) is not pending, name
        except TrialError as error:
            errors.append(str(error))
            # What was written before the disk was full stays: the verdict, but not the next trial.
            there = path.read_bytes()
            assert there.startswith(whole) and there[-1:] == b'\\n'
            assert name == 'success' or pending or (there == whole and state() == before)
            break
    else:
        raise SystemExit('the disk never ran full')
    free()
    again = Conductor(study.design, open_schedule(folder, study), lambda k, d: None,
                      lambda a: False)
    again.course = type(again.course).of((e.kind, e.data) for e in read_log(path).events)
    assert repr(again.attempts) == repr(conductor.attempts)
    if conductor.phase.name == 'FINISHED':
        break
print(json.dumps({'errors': len(errors), 'first': errors[0]}))
"""


def full_disk(study: tuple[Path, LockedStudy, SealedSchedule], path: Path, how: str,
              *wrapper: str) -> dict[str, Any]:
    """Run a study whose disk runs full again and again; return what it says."""
    done = subprocess.run(
        [*wrapper, sys.executable, '-c', FULL, str(study[0]), str(path), how],
        capture_output=True, text=True, check=False, timeout=120,
        cwd=Path(__file__).resolve().parents[2])
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_a_full_disk_changes_nothing_and_the_study_goes_on(
        study: tuple[Path, LockedStudy, SealedSchedule], tmp_path: Path) -> None:
    """Wherever in a line the room ends, no part of it stays; with room again the press works."""
    path = tmp_path / 'log.jsonl'
    said = full_disk(study, path, 'limit')
    assert said['errors'] >= 30
    assert 'cannot append' in said['first'] and 'make room' in said['first']
    conductor = resumed(study[1], study[2], path)
    assert sum(one.counts for one in conductor.attempts) > 2
    assert read_log(path).torn == b''


def test_a_really_full_file_system(study: tuple[Path, LockedStudy, SealedSchedule],
                                   tmp_path: Path) -> None:
    """The same on a small file system that is full to the last page (ENOSPC)."""
    place = tmp_path / 'small'
    place.mkdir()
    mounted = subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=256k', 'none', str(place)],
                             capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f'no file system can be mounted here: {mounted.stderr.strip()}')
    try:
        said = full_disk(study, place / 'log.jsonl', 'real')
        assert said['errors'] >= 10
        assert 'No space left' in said['first'] and 'make room' in said['first']
        assert read_log(place / 'log.jsonl').torn == b''
    finally:
        subprocess.run(['umount', str(place)], check=True)


def test_an_interrupted_append_leaves_no_line(tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C between writing and syncing takes the line back, so the chain goes on."""
    path = tmp_path / 'log.jsonl'
    with TrialLog(path) as log:
        log.append('a', {})

        def interrupt(_: int) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr('vla_drop_ros.trials.log.os.fsync', interrupt)
            with pytest.raises(KeyboardInterrupt):
                log.append('b', {})
        log.append('c', {})
    assert [event.kind for event in read_log(path).events] == ['a', 'c']


def test_a_full_disk_at_the_repair_is_an_error_in_words(tmp_path: Path) -> None:
    """Opening a torn log where nothing can be written says so, and the torn bytes stay."""
    path = tmp_path / 'log.jsonl'
    with TrialLog(path) as log:
        log.append('a', {})
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"sequence"')
    (tmp_path / 'log.jsonl.torn').mkdir()  # so that it cannot be written
    with pytest.raises(TrialError, match='cannot repair .*log.jsonl'):
        TrialLog(path, resume=True)
    assert path.read_bytes() == whole + b'{"sequence"'
