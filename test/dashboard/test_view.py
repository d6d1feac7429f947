# SPDX-License-Identifier: Apache-2.0
"""The picture fits 80 columns, says everything without colour, and hides what is not of now."""

import io

import pytest
from rich.console import Console

from vla_drop_ros.dashboard.board import Board, GATE, Health, POLICY, STALE, Status
from vla_drop_ros.dashboard.view import draw, sorted_values

GATE_VALUES = {
    'mode': 'executing', 'dry_run': 'False', 'robot': 'simulated_arm',
    'capture to command p50 [ms]': '160.0', 'capture to command p95 [ms]': '260.0',
    'capture to command max [ms]': '300.0', 'chunks accepted': '145', 'commands altered': '290',
    'limited by linear_velocity': '152'}
POLICY_VALUES = {
    'checkpoint': 'f8a940dc8b3e', 'instruction': 'put the red cube in the left bin',
    'inference p50 [ms]': '25.5', 'inference p95 [ms]': '94.9', 'inference max [ms]': '142.8',
    'queue p50 [ms]': '-', 'chunks [1/s]': '3.32', 'process memory [MB]': '679',
    'front rate [Hz]': '10.0', 'front age [ms]': '20', 'front lost': '3',
    'front repeated stamps': '0', 'front image': '', 'chunks published': '146', 'images lost': '7'}


def board(space: str = '', gate: Health = Health.OK, message: str = 'executing') -> Board:
    """Return a board with one robot."""
    made = Board()
    made.add(f'{space}/{GATE}', Status(int(gate), message, GATE_VALUES, 0.0))
    made.add(f'{space}/{POLICY}', Status(0, 'publishing chunks', POLICY_VALUES, 0.0))
    return made


def text(made: Board, now: float = 0.5, width: int = 80, brief: bool = False,
         colour: bool = False) -> str:
    """Return the picture as printed."""
    console = Console(file=io.StringIO(), width=width, force_terminal=colour,
                      color_system='standard' if colour else None)
    console.print(draw(made.report(now), '46', brief))
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def test_values_are_told_apart_by_their_keys() -> None:
    """Quantiles, streams, counters and facts; what is not known yet is left out."""
    latencies, streams, counters, facts = sorted_values(POLICY_VALUES)
    assert latencies == {'inference': {'p50': '25.5', 'p95': '94.9', 'max': '142.8'}}
    assert streams == {'front': {'rate [Hz]': '10.0', 'age [ms]': '20', 'lost': '3',
                                 'repeated stamps': '0'}}
    assert counters == {'chunks published': '146', 'images lost': '7'}
    assert set(facts) == {'checkpoint', 'instruction', 'chunks [1/s]', 'process memory [MB]'}


def test_every_value_is_in_the_picture() -> None:
    """State, e-stop, checkpoint, latency, streams, counters and memory, each with its name."""
    picture = ' '.join(text(board('left')).split())
    for expected in ('/left e-stop released', 'command_gate OK executing', 'f8a940dc8b3e',
                     'capture to command 160.0 260.0 300.0', 'inference 25.5 94.9 142.8',
                     'front 10.0 20 3', 'commands altered 290', 'limited by linear_velocity 152',
                     'process memory [MB] 679', '0.5 s ago', 'all well', 'domain 46', '1 robot'):
        assert expected in picture


@pytest.mark.parametrize('width', [80, 120])
def test_lines_fit_the_terminal(width: int) -> None:
    """No line is wider, whatever a node says; at 80 columns nothing is cut off."""
    made = board('left', Health.ERROR, 'a camera is late, ' * 12)
    picture = text(made, width=width)
    assert max(map(len, picture.splitlines())) <= width
    assert '…' not in picture
    assert picture.count('late,') == 24  # as state, and as last warning


def test_a_pair_stays_on_one_line() -> None:
    """A counter and its number are never parted by the end of a line."""
    assert all('limited by linear_velocity 152' in text(board(), width=width)
               for width in range(60, 100))


def test_a_dead_node_shows_no_values() -> None:
    """Its last numbers would look like those of now; it is red and says DEAD."""
    made = board()
    made.add(POLICY, Status(0, 'publishing chunks', POLICY_VALUES, STALE))
    picture = text(made, now=STALE + 1.0)
    assert 'command_gate DEAD' in picture
    assert 'NOT HEALTHY' in picture
    assert 'capture to command' not in picture
    assert 'inference' in picture
    assert '\033[1;31mDEAD' in text(made, now=STALE + 1.0, colour=True)


def test_an_engaged_emergency_stop_says_how_to_go_on() -> None:
    """The service to call is named with its namespace."""
    made = board('left')
    made.add(f'left/{GATE}', Status(2, 'estopped: e-stop engaged', {'mode': 'estopped'}, 0.1))
    picture = ' '.join(text(made).split())
    assert 'e-stop ENGAGED' in picture
    assert 'call the service /left/command_gate/reset_estop' in picture


def test_colour_adds_no_meaning() -> None:
    """Without escape codes the words are the same."""
    import re
    plain = re.sub(r'\033\[[0-9;]*m', '', text(board('left', Health.WARN), colour=True))
    assert plain == text(board('left', Health.WARN))
    assert '\033' not in text(board())


def test_the_short_picture_keeps_what_matters() -> None:
    """On a low terminal two robots take twelve lines at most, states and warnings included."""
    made = board('left')
    for name, status in board('right', Health.WARN, 'holding')._statuses.items():
        made.add(name, status)
    picture = text(made, brief=True)
    assert len(picture.splitlines()) <= 12
    assert 'holding' in picture
    assert 'inference' not in picture


def test_an_empty_domain_says_what_to_do() -> None:
    """Nothing heard is no silence on the screen."""
    assert 'vla_drop up' in text(Board())
