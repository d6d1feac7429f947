# SPDX-License-Identifier: Apache-2.0
"""The action ``rate`` of ``trials``: a second verdict from the recording, without the arm."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
import sys
from typing import Any

from vla_drop_ros.cli.trials_data import add_study, log_of
from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials import amendments
from vla_drop_ros.trials.attempts import Attempt
from vla_drop_ros.trials.bag_writer import BAGS
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.locked_study import load_study
from vla_drop_ros.trials.merged_log import read_logs, StudyLog
from vla_drop_ros.trials.rating_queue import rating_queue
from vla_drop_ros.trials.ratings import Rating
from vla_drop_ros.trials.reference_pictures import REFERENCES
from vla_drop_ros.trials.study_log import LOG_FILE

EXAMPLES = """\
  vla_drop trials rate study --rater R2                          second verdicts from recordings
  vla_drop trials rate study --rater R2 --code 17 --verdict failure --stage grasped
"""
LETTERS = {'s': 'success', 'p': 'partial', 'f': 'failure'}
LEAVE = 'q'
Ask = Callable[[str], str]


def add_actions(actions: Any) -> None:
    """Add the action to those of ``vla_drop trials``."""
    rate_ = actions.add_parser(
        'rate', help='judge trials again from their recordings, by somebody else',
        description='The trials about which the first person was unsure, then a random fifth of '
                    'the others: what both say tells how far the verdicts can be trusted. Neither '
                    'arm nor first verdict is shown. Without a terminal, or with --list, it says '
                    'which trials wait.')
    add_study(rate_)
    rate_.add_argument('--rater', required=True,
                       help='pseudonym of who judges the recording; not of who stood there')
    rate_.add_argument('--log', type=Path, metavar='LOG',
                       help=f'log of another robot (default: {LOG_FILE} in the folder)')
    rate_.add_argument('--list', action='store_true', help='only say which trials wait')
    rate_.add_argument('--code', help='rate this trial, for instance 17, without being asked')
    rate_.add_argument('--verdict', choices=amendments.CORRECTIONS, help='of --code')
    rate_.add_argument('--stage', default='', help='that a partial success or a failure reached')
    rate_.add_argument('--note', default='', help='what was seen')


def rate(args: argparse.Namespace) -> int:
    """Append a rating, ask for ratings, or say which trials wait for one."""
    study, log = load_study(args.study), log_of(args)
    if (args.code is None) != (args.verdict is None):
        raise TrialError('--code and --verdict belong together: which trial, and how it went')
    if args.code is not None:
        event = amendments.rate(log, study, args.code, Rating(
            args.rater, args.verdict, args.stage, args.note))
        print(f'trial {args.code}, rated by {args.rater}: line {event.sequence + 1} of {log}')
        return 0
    found, *others = read_logs([log], study).values()
    if others:
        raise TrialError(f'{log} holds the merged logs of {1 + len(others)} robots; rate into '
                         'the log of one of them (--log), and merge again')
    home = log.parent if (log.parent / BAGS).is_dir() else args.study  # bags of this robot
    queue = rating_queue(found.course.attempts, study.design.seed, args.rater)
    print(*warnings(found), f'{len(queue)} trial(s) wait for {args.rater}', sep='\n')
    if args.list or not sys.stdin.isatty():
        for attempt in queue:
            print('', *lines_of(home, study.design, attempt), sep='\n')
        return 0
    return interview(home, study.design, queue, lambda code, rating: amendments.rate(
        log, study, code, rating), args.rater)


ACTIONS = {'rate': rate}


def interview(folder: Path, design: Design, queue: Sequence[Attempt],
              keep: Callable[[str, Rating], object], rater: str, ask: Ask = input) -> int:
    """Ask about one trial after the other; each rating is kept before the next question.

    Args:
        folder: of the study.
        design: of the study.
        queue: trials to ask about.
        keep: takes code and rating.
        rater: pseudonym.
        ask: shows a question and returns what was typed; EOFError leaves.

    """
    try:
        for attempt in queue:
            print('', *lines_of(folder, design, attempt), sep='\n')
            rating = _asked(design, rater, ask)
            if rating is not None:
                keep(attempt.code, rating)
    except (EOFError, KeyboardInterrupt):
        print()
    return 0


def lines_of(folder: Path, design: Design, attempt: Attempt) -> list[str]:
    """Return what a rater needs of a trial, and nothing about its arm, verdict or speed."""
    condition = next(one for one in design.conditions if one.id == attempt.condition)
    values = attempt.values
    bags = [('bag', one.get('uri'))
            for one in (values.get('bag', {}), *values.get('further_bags', []))]
    found = [*bags, ('began like this', values.get('picture', {}).get('uri')),
             ('was to begin like this', f'{REFERENCES}/{condition.id}.jpg'
              if condition.reference_image else None)]
    lines = [f'trial {attempt.code}: {values.get("instruction") or condition.instruction}']
    lines += [f'  scene: {condition.setup}'] if condition.setup else []
    lines += [f'  {name}: {folder / uri}{"" if (folder / uri).exists() else " (not here)"}'
              for name, uri in found if uri]
    if not any(uri for _, uri in bags):
        lines.append('  no recording; judge it by your own, or leave it')
    return lines


def warnings(log: StudyLog) -> list[str]:
    """Return who has opened the arms of a study: whoever has seen them rates nothing."""
    return [f'the arms were opened by {event.data.get("who")}, {event.wall}: rate only if you '
            'have not seen them' for event in log.events if event.kind == 'unblinded']


def _asked(design: Design, rater: str, ask: Ask) -> Rating | None:
    """Return what the rater says of a trial, None where it is left for later."""
    letters = {letter: verdict for letter, verdict in LETTERS.items()
               if design.rubric or verdict != 'partial'}
    words = ', '.join(f'{letter} {verdict}' for letter, verdict in letters.items())
    said = _one_of(ask, f'verdict ({words}, enter: later, {LEAVE}: leave): ',
                   ['', LEAVE, *letters])
    if said == LEAVE:
        raise EOFError
    if not said:
        return None
    verdict, stage = letters[said], ''
    if verdict != 'success' and design.rubric:
        for number, one in enumerate(design.rubric, start=1):
            print(f'  {number} {one.text}')
        none = '' if verdict == 'partial' else ', enter: to none'
        reached = _one_of(ask, f'how far did it come{none}: ', [
            *map(str, range(1, len(design.rubric) + 1)), *([''] if none else [])])
        stage = design.rubric[int(reached) - 1].id if reached else ''
    return Rating(rater, verdict, stage, ask('note (enter: none): ').strip())


def _one_of(ask: Ask, question: str, valid: Sequence[str]) -> str:
    """Ask until the answer is one of the valid ones."""
    while (said := ask(question).strip().lower()) not in valid:
        print(f'  {said!r} is none of {", ".join(filter(None, valid))}')
    return said
