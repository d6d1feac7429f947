# SPDX-License-Identifier: Apache-2.0
"""The actions of ``trials`` on what a study left: merge, export, amend, relabel, mend."""

import argparse
from collections.abc import Callable, Mapping
import os
from pathlib import Path
from typing import Any

from vla_drop_ros.errors import TrialError
from vla_drop_ros.report.fieldtrial_study import fieldtrial_files
from vla_drop_ros.report.study_record import read_record, unblind
from vla_drop_ros.report.trial_row import rows_of
from vla_drop_ros.report.trial_table import as_csv, dictionary
from vla_drop_ros.trials import amendments, merged_log, torn_bag
from vla_drop_ros.trials.bag_writer import BAGS
from vla_drop_ros.trials.locked_study import load_study
from vla_drop_ros.trials.study_log import LOG_FILE

EXAMPLES = """\
  vla_drop trials merge monday.jsonl tuesday.jsonl -o all.jsonl  robots or days of one study
  vla_drop trials export study --format csv -o trials.csv        one row a trial; needs the end
  vla_drop trials export study --format fieldtrial -o folder     for fieldtrial lock and import
  vla_drop trials amend study 'gripper pads replaced after trial 40' --who P1
  vla_drop trials relabel study 17 failure --reason dropped --why 'seen in the video' --who P1
  vla_drop trials mend study                                     bags of a recorder that was killed
"""
FORMATS = ('csv', 'fieldtrial')


def add_actions(actions: Any) -> None:
    """Add the actions to those of ``vla_drop trials``."""
    merge_ = actions.add_parser('merge', help='put the logs of several robots or days together')
    merge_.add_argument('logs', nargs='+', type=Path, metavar='LOG',
                        help='logs, or merged ones; a copy counts once')
    merge_.add_argument('-o', '--output', type=Path, required=True, help='file to write')
    export_ = actions.add_parser('export', help='write the trials for other tools, with arms')
    add_study(export_)
    export_.add_argument('--format', choices=FORMATS, default='csv',
                         help='csv: a table and its dictionary; fieldtrial: a folder for '
                              'fieldtrial 0.3 (default: %(default)s)')
    export_.add_argument('-o', '--output', type=Path, required=True,
                         help='file, or folder of fieldtrial')
    export_.add_argument('--log', type=Path, action='append', default=[], dest='logs',
                         metavar='LOG', help='log of another robot or day, or a merged one; '
                                             'again for more (default: all in the folder)')
    export_.add_argument('--unblind', action='store_true',
                         help='even though the study goes on; this is logged')
    export_.add_argument('--who', default='', help='pseudonym of the person who opens the arms')
    amend_ = actions.add_parser('amend', help='write down what was done otherwise than planned')
    add_study(amend_)
    amend_.add_argument('text', help='what and why; the report shows it')
    relabel_ = actions.add_parser('relabel', help='correct a verdict after the next start')
    add_study(relabel_)
    relabel_.add_argument('code', help='what people called the trial, for instance 17')
    relabel_.add_argument('verdict', help=f'one of {", ".join(amendments.CORRECTIONS)}')
    relabel_.add_argument('--why', required=True, help='what the correction rests on')
    relabel_.add_argument('--stage', default='', help='that a partial success reached')
    relabel_.add_argument('--reason', default='', help='of a failure, from the design')
    add_study(actions.add_parser('mend', help='end the bags that a killed recorder left open'))
    for one in (amend_, relabel_):
        one.add_argument('--who', required=True, help='pseudonym of the person who says so')
        one.add_argument('--log', type=Path, metavar='LOG',
                         help=f'log of another robot (default: {LOG_FILE} in the folder)')


def merge(args: argparse.Namespace) -> int:
    """Merge logs into a file, and say what is in it."""
    logs = merged_log.merge(args.logs, args.output)
    for log in logs.values():
        judged = sum(one.counts for one in log.course.attempts)
        torn = f'; {log.torn} bytes of a torn last line left out' if log.torn else ''
        print(f'{log.uuid[:12]}  {log.opened.get("robot", "")}: {len(log.lines)} lines, {judged} '
              f'trials that count{torn}')
    print(f'merged: {args.output}, {len(logs)} log(s)')
    return 0


def export(args: argparse.Namespace) -> int:
    """Write the trials with their arms."""
    if args.format == 'fieldtrial' and args.output.is_dir() and any(args.output.iterdir()):
        raise TrialError(f'{args.output} is not empty; choose a new folder')
    record = unblind(read_record(args.study, args.logs), args.who or 'unnamed', args.unblind)
    rows = rows_of(record)
    if args.format == 'csv':
        files = {args.output: as_csv(record, rows),
                 args.output.with_name(args.output.stem + '.dictionary.csv'): dictionary()}
    else:
        files = {args.output / name: text for name, text
                 in fieldtrial_files(record.study.design, rows).items()}
        args.output.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        _write(path, text)
    print(f'{len(rows)} trials: {", ".join(str(path) for path in files)}\n{record.opening}')
    if args.format == 'fieldtrial':
        print(f'how to import them: {args.output / "README.md"}')
    return 0


def amend(args: argparse.Namespace) -> int:
    """Append an amendment."""
    event = amendments.amend(log_of(args), load_study(args.study), args.text, args.who)
    print(f'amendment: line {event.sequence + 1} of {log_of(args)}')
    return 0


def relabel(args: argparse.Namespace) -> int:
    """Append a corrected verdict."""
    event = amendments.relabel(log_of(args), load_study(args.study), args.code, args.verdict,
                               args.why, args.who, args.stage, args.reason)
    print(f'trial {args.code} is a {args.verdict} now: line {event.sequence + 1} of '
          f'{log_of(args)}; the report counts corrections')
    return 0


def mend(args: argparse.Namespace) -> int:
    """End the recordings that a killed recorder has left open."""
    bags = sorted(args.study.glob(f'{BAGS}/*/*.mcap'))
    open_ones = [path.parent for path in bags
                 if not (path.parent / 'metadata.yaml').exists()]
    for folder in open_ones:
        found = torn_bag.mend(folder)
        print(f'{folder}: {sum(found.messages.values())} messages')
    print(f'{len(open_ones)} of {len(bags)} recordings mended')
    return 0


ACTIONS: Mapping[str, Callable[[argparse.Namespace], int]] = {
    'merge': merge, 'export': export, 'amend': amend, 'relabel': relabel,
    'mend': mend}


def add_study(parser: argparse.ArgumentParser) -> None:
    """Add the folder of a study."""
    parser.add_argument('study', type=Path, metavar='FOLDER',
                        help='folder of the study, made by vla_drop trials plan')


def log_of(args: argparse.Namespace) -> Path:
    """Return the log that is meant."""
    return args.log if args.log is not None else args.study / LOG_FILE


def _write(path: Path, text: str) -> None:
    """Write a file whole or not at all; an old one of the same name is replaced."""
    partial = path.with_name(path.name + '.partial')
    partial.write_text(text, encoding='utf-8')
    os.replace(partial, path)
