# SPDX-License-Identifier: Apache-2.0
"""The actions of ``trials`` that work on a study that goes on: run and keys."""

import argparse
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
import select
import signal
import sys
import termios
import tty
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from vla_drop_ros import bringup, preflight
from vla_drop_ros.bringup import Graph
from vla_drop_ros.cli.up import graph_checks
from vla_drop_ros.console.keyboard import help_of_keys, Keyboard
from vla_drop_ros.errors import NodeDiedError, TrialError
from vla_drop_ros.supervisor import Running
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.course import Course
from vla_drop_ros.trials.locked_study import load_study, LockedStudy
from vla_drop_ros.trials.log import read_log
from vla_drop_ros.trials.session_state import pairs_done
from vla_drop_ros.trials.study_log import LOG_FILE

EXAMPLES = """\
  vla_drop trials run study                     on the simulated robot, by a simulated person
  vla_drop trials keys http://127.0.0.1:8080/   press start, stop and verdicts in a terminal
"""
LOOK = 0.3  # [s] between looks at the log while a study runs
COLOURS = {'success': 'green', 'partial': 'yellow', 'failure': 'red', 'invalid': 'dim'}
NODE_DIED, INTERRUPTED = 1, 130
ENDING = ('q', '\x03', '\x04', '')
Watch = Callable[[Sequence[Attempt]], None]


def add_actions(actions: Any) -> None:
    """Add the actions to those of ``vla_drop trials``."""
    run_ = actions.add_parser(
        'run', help='run a locked study on the simulated robot, by a simulated person')
    run_.add_argument('study', type=Path, help='folder of a locked study')
    run_.add_argument('--no-bags', action='store_true', help='record no MCAP bags')
    run_.add_argument('--whole', action='store_true',
                      help='go on to the horizon, even if the rule allows to stop before')
    keys_ = actions.add_parser(
        'keys', help='the buttons of the web console on a keyboard',
        description='The buttons of the web console on a keyboard. What can be pressed now is '
                    'shown with every change; ? shows all keys, q leaves.',
        epilog='keys:\n' + help_of_keys('  ') + '\n\nA trial: space, space, s. Or space, space, '
               'f and the digit of the reason.',
        formatter_class=argparse.RawDescriptionHelpFormatter)
    keys_.add_argument('url', nargs='?', default='http://127.0.0.1:8080/',
                       help='address that the trial node printed (default: %(default)s)')
    keys_.add_argument('--who', default='', help='pseudonym, for the log')


def run(args: argparse.Namespace) -> int:
    """Run a study to its end, with a bar; an interrupted one goes on where it stopped."""
    study = load_study(args.study)
    if args.whole and not study.design.stopping.horizon:
        raise TrialError('--whole goes on to the horizon, and this study has none; leave it out')
    preflight.require([preflight.check_python, preflight.check_ros])
    graph = bringup.ab_trial(study=str(args.study), simulated_operator=True, port=-1,
                             operator='simulated', bags=not args.no_bags,
                             stops_early=not args.whole)
    preflight.require(graph_checks(graph))
    with preflight.private_domain():
        status = run_with_progress(study, args.study, graph)
    if not status:
        print(f'the study is finished: vla_drop trials report {args.study}')
    return status


def keys(args: argparse.Namespace) -> int:
    """Press by keys until q."""
    if not sys.stdin.isatty():
        raise TrialError('keys needs a terminal; use the web console, a gamepad or the services '
                         'of trial_node instead')
    keyboard = Keyboard(args.url, args.who)
    print(f'{keyboard.state["study"]}\n?: all keys, q: leave')
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        shown = ''
        while True:
            told = line_of(keyboard.look())
            hint = keyboard.hint()
            if told + hint != shown:
                print(f'{told}\n  {hint}')
                shown = told + hint
            if not select.select([sys.stdin], [], [], 0.5)[0]:
                continue
            key = sys.stdin.read(1)
            if key in ENDING:
                return 0
            print(f'  {keyboard.key(key)}')
    except KeyboardInterrupt:
        return 0
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


ACTIONS = {'run': run, 'keys': keys}


def line_of(state: Any) -> str:
    """Return what is to be done now, in one line."""
    what = state['waiting'] or state['problem']
    condition = state['condition']
    scene = f': {condition["setup"]} / {condition["instruction"]}' \
        if state['phase'] == 'arrange' else ''
    return f'trial {state["code"]}, {state["phase"]}{scene}' + (f'  ({what})' if what else '')


def run_with_progress(study: LockedStudy, folder: Path, graph: Graph,
                      console: Console | None = None) -> int:
    """Run the graph of a study, and show each trial as it ends; return the exit status.

    Args:
        study: that is locked in ``folder``.
        folder: of the study; what the nodes say is kept in ``nodes.txt`` in it.
        graph: of ``bringup.ab_trial`` with a simulated operator.
        console: where to show it.

    """
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(),
               TextColumn('pairs'), TimeElapsedColumn())
    output = folder / 'nodes.txt'
    with Progress(*columns, console=console) as progress, output.open(
            'a', encoding='utf-8') as lines:
        bar = progress.add_task('starting', total=study.design.stopping.horizon or None)
        shown: set[tuple[str, str]] = set()

        def show(attempts: Sequence[Attempt]) -> None:
            for attempt in attempts:
                if attempt.judged and (attempt.code, attempt.verdict) not in shown:
                    shown.add((attempt.code, attempt.verdict))
                    progress.console.print(trial_line(attempt), highlight=False, soft_wrap=True)
            progress.update(bar, description='running', completed=pairs_done(
                [one for one in attempts if one.counts], len(study.design.arms)))

        def keep(name: str, line: str) -> None:
            print(f'{name}: {line}', file=lines, flush=True)

        try:
            return run_study(graph, folder / LOG_FILE, show, keep)
        except NodeDiedError as error:
            print(f'error: {error}\nall that the nodes said: {output}', file=sys.stderr)
            return NODE_DIED


def trial_line(attempt: Attempt) -> str:
    """Return a trial in one line, with rich's colours and without its arm."""
    why = attempt.reason or attempt.stage
    return (f'  trial {attempt.code:<4} [{COLOURS[attempt.verdict]}]{attempt.verdict:<8}[/] '
            f'{attempt.duration:5.1f} s   {attempt.values.get("instruction", "")}'
            + (f'  [dim]{why}[/]' if why else ''))


def run_study(graph: Graph, log: Path, watch: Watch,
              on_line: Callable[[str, str], None]) -> int:
    """Run a graph until its simulated operator has left; return 0, or 130 when interrupted.

    Args:
        graph: of ``bringup.ab_trial``.
        log: of the study.
        watch: called with all trials so far, now and then.
        on_line: called with node name and line of what the nodes say.

    Raises:
        NodeDiedError: a node ended before the study did.

    """
    running = Running(graph, on_line)
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        running.request_stop()

    before = {number: signal.signal(number, interrupt)
              for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with running:
            while not running.stop_requests:
                running.wait(LOOK)
                tell(log, watch)
        tell(log, watch)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return INTERRUPTED if interrupted else 0


def tell(log: Path, watch: Watch) -> None:
    """Read the log and pass its trials on; while it is being begun there is none."""
    with suppress(TrialError):
        watch(Course.of((event.kind, event.data) for event in read_log(log).events).attempts)
