# SPDX-License-Identifier: Apache-2.0
"""One row a trial, as CSV for whatever people analyse with, and what every column means."""

from collections.abc import Callable, Iterable
import csv
from dataclasses import dataclass
import io
import math
from typing import Any

from vla_drop_ros.report.study_record import StudyRecord
from vla_drop_ros.report.trial_row import TrialRow
from vla_drop_ros.trials.incidents import INCIDENTS

DICTIONARY_HEAD = ('column', 'unit', 'meaning')


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: in the head.
        unit: '' for text and counts, '0/1' for yes and no.
        meaning: one sentence, for the dictionary.
        of: takes it from a row; None and nan become an empty cell.

    """

    name: str
    unit: str
    meaning: str
    of: Callable[[TrialRow], Any]


def _number(name: str, unit: str, meaning: str, *keys: str) -> Column:
    return Column(name, unit, meaning, lambda row: row.number(*keys))


def _text(name: str, meaning: str, *keys: str) -> Column:
    return Column(name, '', meaning, lambda row: row.text(*keys))


def _incidents(kind: str) -> Column:
    return Column(f'{kind}s' if kind != 'near_miss' else 'near_misses', '',
                  f'how often people noted: {kind.replace("_", " ")}',
                  lambda row: sum(one.kind == kind for one in row.incidents))


TRIAL = (
    Column('index', '', 'place in the sealed schedule, from 0', lambda row: row.index),
    Column('round', '', 'round of the schedule, from 0: every condition once, with every arm',
           lambda row: row.round),
    Column('pair', '', 'block of one condition that all arms ran back to back, from 0',
           lambda row: row.pair),
    Column('position', '', 'place in the block, from 0', lambda row: row.position),
    Column('condition', '', 'id of the condition', lambda row: row.condition),
    Column('task', '', 'stratum of the condition', lambda row: row.task),
    Column('arm', '', 'checkpoint that ran', lambda row: row.arm),
    Column('attempt', '', 'attempt at the place, from 0; more than 0 after invalid ones',
           lambda row: row.attempt),
    Column('counted', '0/1', 'whether the verdict of the study rests on it: valid, and of a '
           'complete round up to the horizon', lambda row: int(row.counted)),
    Column('verdict', '', 'success, partial, failure or invalid', lambda row: row.verdict),
    Column('success', '0/1', 'empty for an invalid trial',
           lambda row: int(row.success) if row.valid else None),
    Column('stages', '', 'stages of the rubric that were reached',
           lambda row: row.stages if row.valid else None),
    Column('progress', '0..1', 'answered stages as a share; 1 for a success',
           lambda row: row.progress if row.valid else None),
    Column('reason', '', 'of a failure or an invalid trial, from the list of the design',
           lambda row: row.reason),
    Column('note', '', 'free text of the person who judged', lambda row: row.note),
    Column('end_reason', '', 'why the trial ended: stopped, timeout, safety_stop ...',
           lambda row: row.end_reason),
    Column('seconds', 's', 'from start to end', lambda row: row.seconds),
    Column('source', '', 'where the verdict came from: web, service, joy, simulator ...',
           lambda row: row.source),
    Column('who', '', 'pseudonym of the person who judged', lambda row: row.who),
    Column('sure', '0/1', 'whether the person was sure of the verdict', lambda row: int(row.sure)),
    Column('answers', '', 'stages of the rubric that were asked for: stage=1 or stage=0, with ;',
           lambda row: ';'.join(f'{stage}={int(said)}' for stage, said in row.answers.items())),
    *map(_incidents, INCIDENTS),
    Column('incident_notes', '', 'what was said of these, with ;',
           lambda row: ';'.join(one.note for one in row.incidents if one.note)),
    Column('ratings', '', 'verdicts of others who saw the recording only: rater=verdict, with ;',
           lambda row: ';'.join(f'{one.rater}={one.verdict}' for one in row.ratings)),
    Column('detected', '', 'what detectors or the simulator said: source=1 or source=0, with ;',
           lambda row: ';'.join(f'{source}={int(said)}'
                                for source, said in sorted(row.detected.items()))),
    Column('detectors', '', 'on what their word rests: source:score=0.9, with ;',
           lambda row: ';'.join(f'{source}:{name}={value}'
                                for source, said in sorted(row.detectors.items())
                                for name, value in said.items())),
    Column('undone', '', 'verdicts that were taken back before, with ;',
           lambda row: ';'.join(row.undone)),
    Column('relabelled', '', 'verdicts that were corrected after the next start, with ;',
           lambda row: ';'.join(row.relabelled)),
    Column('guess', '', 'which arm people thought it was: baseline, pruned or unsure',
           lambda row: row.guess),
    Column('code', '', 'what people called the trial; unique within its log',
           lambda row: row.code),
    Column('uuid', '', 'of the trial, unique everywhere; empty in logs of 0.5 and before',
           lambda row: row.uuid),
    Column('session', '', 'number of the session in its log', lambda row: row.session),
    Column('robot', '', 'that ran it', lambda row: row.robot),
    Column('log', '', 'uuid of the log', lambda row: row.log),
    Column('wall', 'UTC', 'when it was started', lambda row: row.wall))

MEASURED = (
    _number('latency_median', 's', 'capture of the images to the command they led to, median',
            'latency', 'median'),
    _number('latency_mean', 's', 'the same, mean', 'latency', 'mean'),
    _number('latency_p95', 's', 'the same, 95th percentile', 'latency', 'p95'),
    _number('latency_worst', 's', 'the same, worst', 'latency', 'worst'),
    _number('latency_count', '', 'chunks of which the latency was measured', 'latency', 'count'),
    _number('chunks', '', 'chunks that the policy sent', 'chunks'),
    _number('clipped', '', 'commands that the gate altered', 'clipped'),
    _number('path', 'm', 'length of the way of the hand', 'motion', 'path'),
    _number('motion_seconds', 's', 'time in which the hand moved', 'motion', 'duration'),
    _number('mean_speed', 'm/s', 'of the hand', 'motion', 'mean_speed'),
    _number('max_speed', 'm/s', 'of the hand', 'motion', 'max_speed'),
    _number('sparc', '', 'spectral arc length of the speed of the hand; 0 is smoothest', 'motion',
            'sparc'),
    _number('jerk', '', 'log dimensionless jerk of the hand', 'motion', 'jerk'),
    _number('moved_after', 's', 'start to first motion', 'motion', 'moved_after'),
    _number('control_rate', 'Hz', 'commands a second', 'control', 'rate'),
    _number('longest_gap', 's', 'between two commands', 'control', 'longest_gap'),
    _number('gpu_energy', 'J', 'energy of the GPU', 'host', 'gpu_energy'),
    _number('gpu_power', 'W', 'power of the GPU, mean', 'host', 'gpu_power'),
    _number('gpu_busy', '0..1', 'share of time in which the GPU was busy', 'host', 'gpu_busy'),
    _number('gpu_memory', 'byte', 'memory of the GPU in use, the most, of all that runs there',
            'host', 'gpu_memory'),
    _number('cpu', '0..1', 'share of the processors that was busy', 'host', 'cpu'),
    _number('host_memory', 'byte', 'memory of the computer in use, the most', 'host', 'memory'),
    _number('temperature', '°C', 'the highest of the computer', 'host', 'temperature'),
    Column('throttled', '0/1', 'whether the computer was slowed down by heat or power',
           lambda row: row.flag('host', 'throttled')),
    _number('prepare_policy', 's', 'asking for the policy to its first answer', 'prepare',
            'policy'),
    _number('prepare_reset', 's', 'asking for the scene until it was ready', 'prepare', 'reset'),
    _number('prepare_arranged', 's', 'end of the trial before until people said it is arranged',
            'prepare', 'arranged'),
    _number('prepare_arrange', 's', 'end of the trial before to the start', 'prepare',
            'arrange'),
    _number('verdict_after', 's', 'end to verdict', 'verdict_after'),
    _text('bag', 'recording, relative to the folder of the study', 'bag', 'uri'),
    _text('bag_sha256', 'of the recording', 'bag', 'sha256'),
    _number('bag_lost', '', 'messages that the recorder lost', 'bag', 'lost'),
    _text('picture', 'of the scene at the start, relative to the folder of the study',
          'picture', 'uri'),
    _text('picture_sha256', 'of the picture', 'picture', 'sha256'),
    _number('picture_match', '0..1', 'match with the reference picture', 'picture', 'match'))

COLUMNS = (*TRIAL, *MEASURED)


def as_csv(record: StudyRecord, rows: Iterable[TrialRow]) -> str:
    """Return the table: a head, then one line a judged trial, in the order of the rows.

    The first two columns say of which study it is, so that tables can be put together.

    Args:
        record: unblinded.
        rows: of ``rows_of``.

    """
    study = record.study.design.digest
    hashes = {arm.name: arm.hash for arm in record.study.design.arms}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(['study', 'checkpoint', *(column.name for column in COLUMNS)])
    for row in rows:
        writer.writerow([study, hashes[row.arm], *(_cell(column.of(row)) for column in COLUMNS)])
    return file.getvalue()


def dictionary() -> str:
    """Return what every column means, as CSV: column, unit, meaning."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator='\n')
    writer.writerow(DICTIONARY_HEAD)
    writer.writerow(['study', '', 'sha256 of the locked design'])
    writer.writerow(['checkpoint', '', 'identity of the checkpoint that ran, sha256'])
    writer.writerows([column.name, column.unit, column.meaning] for column in COLUMNS)
    return file.getvalue()


def _cell(value: Any) -> Any:
    """Return a value as it is written: whole numbers without a point, nothing for nan."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ''
    return int(value) if isinstance(value, float) and value.is_integer() else value
