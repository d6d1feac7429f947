# SPDX-License-Identifier: Apache-2.0
"""Processes end in their order, whoever stops them and however many are told at once."""

from collections.abc import Callable, Iterator
from functools import partial
import os
from pathlib import Path
import signal
import subprocess
import sys
import textwrap
import time
from uuid import uuid4

import pytest

from vla_drop_ros import lifeline
from vla_drop_ros.bringup import LIFELINE

POLITE = """
    import os, pathlib, signal, sys, time
    name, delay = sys.argv[1:]
    asked = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: asked.append(number))
    os.write(1, b'ready\\n')  # at once: print may write the newline apart
    while not asked:
        signal.pause()
    end = time.monotonic() + float(delay)
    while time.monotonic() < end:
        time.sleep(0.01)
    with pathlib.Path(__file__).with_name('log').open('a') as log:
        log.write(name + ' ')
"""
Start = Callable[..., 'subprocess.Popen[str]']


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Return a starter of nodes that take ``delay`` seconds to stop, in one process group."""
    (tmp_path / 'polite.py').write_text(textwrap.dedent(POLITE), encoding='utf-8')
    root = Path(__file__).resolve().parent.parent
    run = uuid4().hex
    started: list[subprocess.Popen[str]] = []

    def begin(name: str, after: str = '', delay: float = 0.0, grace: float = 10.0,
              ) -> 'subprocess.Popen[str]':
        names = ','.join(f'{run}/{other}' for other in after.split(',') if other)
        child = subprocess.Popen(
            [sys.executable, '-m', LIFELINE, '0', str(grace), f'{run}/{name}', names,
             'polite', name, str(delay)], stdout=subprocess.PIPE, text=True,
            preexec_fn=partial(os.setpgid, 0, started[0].pid if started else 0),
            env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{root}'})
        started.append(child)
        assert child.stdout is not None
        assert child.stdout.readline() == 'ready\n'
        return child

    yield begin
    for child in started:
        if child.poll() is None:
            child.kill()
        child.wait()
        assert child.stdout is not None
        child.stdout.close()


def order(folder: Path) -> list[str]:
    """Return who ended, in order."""
    return (folder / 'log').read_text(encoding='utf-8').split()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_one_signal_to_all_stops_them_in_turn(
        start: Start, tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C, or a closed terminal, reaches all at once; the gate ends after the slow policy."""
    policy = start('policy', delay=0.4)
    gate = start('gate', after='policy', delay=0.2)
    robot = start('robot', after='policy,gate')
    os.killpg(policy.pid, number)
    os.killpg(policy.pid, signal.SIGINT)  # launch and the terminal both send one
    assert [child.wait(10.0) for child in (policy, gate, robot)] == [0, 0, 0]
    assert order(tmp_path) == ['policy', 'gate', 'robot']


def test_nobody_waits_for_the_dead(start: Start, tmp_path: Path) -> None:
    """A policy that was killed holds nobody up."""
    policy = start('policy')
    gate = start('gate', after='policy')
    policy.kill()
    policy.wait()
    began = time.monotonic()
    gate.send_signal(signal.SIGINT)
    assert gate.wait(10.0) == 0
    assert time.monotonic() - began < 2.0
    assert order(tmp_path) == ['gate']


def test_waiting_has_a_limit(start: Start, tmp_path: Path) -> None:
    """A policy that never ends delays the gate's safety action by its own grace at most."""
    policy = start('policy', delay=60.0)
    gate = start('gate', after='policy', grace=0.3)
    began = time.monotonic()
    os.killpg(policy.pid, signal.SIGINT)
    assert gate.wait(10.0) == 0
    assert 0.3 <= time.monotonic() - began < 5.0
    assert policy.poll() is None
    assert order(tmp_path) == ['gate']


def test_a_dead_parent_stops_them_in_turn_too(tmp_path: Path) -> None:
    """If what started them is killed, they end by themselves, in order."""
    (tmp_path / 'polite.py').write_text(textwrap.dedent(POLITE), encoding='utf-8')
    run, root = uuid4().hex, Path(__file__).resolve().parent.parent
    node = f'{sys.executable} -m {LIFELINE} 0 10.0 {run}/{{0}} "{{1}}" polite {{0}} {{2}} &'
    shell = subprocess.Popen(
        ['bash', '-c', '\n'.join([node.format('policy', '', 0.5),
                                  node.format('gate', f'{run}/policy', 0.0), 'wait'])],
        stdout=subprocess.PIPE, text=True,
        env={**os.environ, 'PYTHONPATH': f'{tmp_path}{os.pathsep}{root}'})
    assert shell.stdout is not None
    assert [shell.stdout.readline() for _ in range(2)] == ['ready\n'] * 2
    shell.kill()
    shell.wait()
    assert shell.stdout.read() == ''  # both have closed it: they have ended
    shell.stdout.close()
    assert order(tmp_path) == ['policy', 'gate']


def test_a_name_is_free_once_its_holder_has_gone() -> None:
    """One process at a time holds a name, and looking at it does not take it."""
    name = uuid4().hex
    assert not lifeline.lives(name)
    held = lifeline.claim(name)
    assert held is not None
    assert lifeline.claim(name) is None
    assert lifeline.lives(name)
    held.close()
    assert not lifeline.lives(name)
