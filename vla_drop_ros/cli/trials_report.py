# SPDX-License-Identifier: Apache-2.0
"""The action ``report`` of ``trials`` on the folder of a blinded study."""

import argparse
from pathlib import Path

from rich.console import Console

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.families.block_sites import PARTS
from vla_drop_ros.manifest import block_counts, load_manifest, Manifest
from vla_drop_ros.report.arms import CheckpointFacts
from vla_drop_ros.report.document import Listing, VerdictBox
from vla_drop_ros.report.report_folder import write_report
from vla_drop_ros.report.results import Results, results_of
from vla_drop_ros.report.sections import document
from vla_drop_ros.report.study_record import read_record, unblind
from vla_drop_ros.runtime.memory import weights_bytes
from vla_drop_ros.trials.design import StudyArm

EXAMPLES = """\
  vla_drop trials report study                                   page, Markdown, JSON and CSV
  vla_drop trials report study --log other.jsonl                 with the log of another robot
  vla_drop trials report study --unblind --who P1                name the arms before the end
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only the report of a folder takes."""
    parser.add_argument('--log', type=Path, action='append', default=[], dest='logs',
                        metavar='LOG', help='log of another robot or day, or a merged one; again '
                                            'for more (default: all in the folder)')
    parser.add_argument('-o', '--output', type=Path, metavar='FOLDER',
                        help='where to write it (default: report in the folder of the study)')
    parser.add_argument('--unblind', action='store_true',
                        help='name the arms even though the study goes on; this is logged')
    parser.add_argument('--who', default='unnamed',
                        help='pseudonym of the person who opens the arms')


def report(args: argparse.Namespace) -> int:
    """Write the report of a study: with its arms once it has ended, blinded before."""
    console = Console(highlight=False)
    record = read_record(args.log, args.logs)
    if record.ended or args.unblind:
        record = unblind(record, args.who, args.unblind)
    with Console(stderr=True).status('reading the trials') as status:
        results = results_of(record, {arm.name: facts_of(arm) for arm in
                                      record.study.design.arms if record.schedule is not None},
                             status.update)
        status.update('drawing')
        page = write_report(results, args.output)
    for line in as_lines(results):
        console.print(line, soft_wrap=True, markup=False)
    console.print(f'report: {page.resolve()}', soft_wrap=True, markup=False)
    return 0


def as_lines(results: Results) -> list[str]:
    """Return the verdicts, or how far a blinded study is, for a terminal."""
    told = document(results)
    lines = [told.title, told.status.text]
    for block in told.sections[0].blocks:
        if isinstance(block, VerdictBox):
            lines += ['', f'{block.word}. {block.sentence}', *block.notes]
        elif isinstance(block, Listing):
            lines += ['', *(f'- {item}' for item in block.items)]
    if results.record.opening:
        lines += ['', results.record.opening]
    return lines


def facts_of(arm: StudyArm) -> CheckpointFacts:
    """Return what the manifest of an arm says, if its checkpoint is here and is the one meant."""
    try:
        folder = find_checkpoint(arm.checkpoint)
        manifest = load_manifest(folder)
        if manifest.identity != arm.hash:
            return CheckpointFacts(note='the checkpoint here is another one than was tried')
        blocks = ', '.join(f'{stack} {count}{_in_part(manifest, stack)}'
                           for stack, count in block_counts(folder).items())
    except VlaDropError:
        return CheckpointFacts(note='the checkpoint is not on this machine')
    return CheckpointFacts(sum(manifest.parameters.values()), sum(manifest.bytes.values()),
                           weights_bytes(manifest.parameters), blocks)


def _in_part(manifest: Manifest, stack: str) -> str:
    """Return how many blocks of a stack are not whole, in words; '' if all are."""
    found = [set(block['left']) for block in (manifest.structure or {}).get(
        'blocks', {}).get(stack, {}).values()]
    counts = {'only their keys and values': sum(left == {'keys_values'} for left in found),
              'in part': sum(bool(left) and left != {'keys_values'} and left != set(PARTS)
                             for left in found)}
    told = '; '.join(f'{count} {how}' for how, count in counts.items() if count)
    return f' ({told})' if told else ''
