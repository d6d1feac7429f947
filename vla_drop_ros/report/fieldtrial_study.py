# SPDX-License-Identifier: Apache-2.0
"""A study as a folder that fieldtrial (https://github.com/rokbenko/fieldtrial) locks and imports.

fieldtrial knows conditions and arms; a pair of ours is a condition of its own there, named by
round and condition, so that it compares pairs as this package does: exact McNemar, Tango's
interval. Whether that excludes a loss of the margin can be read off. It has no non-inferiority,
and no exact boundary: its p-value knows of no looks.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
import csv
import io
import math
import re
from typing import Any

import yaml

from vla_drop_ros.errors import TrialError
from vla_drop_ros.report.trial_row import TrialRow
from vla_drop_ros.trials.design import Design

FIELDS = ('condition', 'arm', 'success', 'stage', 'duration_s', 'termination', 'failure_tags',
          'operator', 'rig', 'session', 'status', 'invalid_reason', 'notes')
ENDS = {'stopped': 'operator_stop', 'timeout': 'timeout', 'safety_stop': 'safety_stop',
        'robot_fault': 'robot_fault'}
LONGEST = 64  # characters of a name there
LARGEST_ALPHA = 0.2  # that it takes


def identifiers(texts: Iterable[str]) -> dict[str, str]:
    """Return text -> a name that fieldtrial takes; distinct texts get distinct names."""
    found: dict[str, str] = {}
    for text in texts:
        base = re.sub(r'[^A-Za-z0-9_.-]+', '-', text).strip('_.-')[:LONGEST - 4] or 'x'
        name, number = base, 2
        while name in found.values():
            name, number = f'{base}-{number}', number + 1
        found[text] = name
    return found


def fieldtrial_files(design: Design, rows: Sequence[TrialRow]) -> dict[str, str]:
    """Return name -> content of the files of the folder.

    Args:
        design: of the study.
        rows: judged trials, unblinded.

    Raises:
        TrialError: there is no complete round.

    """
    given, complete = len(rows), {row.round for row in rows if row.counted}
    rows = [row for row in rows if row.round in complete]
    if not rows:
        raise TrialError('no round is complete yet; there is nothing that can be compared')
    arms = identifiers(arm.name for arm in design.arms)
    conditions = identifiers(condition.id for condition in design.conditions)
    names = {**{f'left_out_{number + 1}.csv': chosen
                for number, chosen in enumerate(_left_out(rows))},
             'trials.csv': [row for row in rows if row.valid]}
    tables = {name: _table(chosen, design, arms, conditions) for name, chosen in names.items()}
    text = yaml.safe_dump(_study(design, rows, arms, conditions), sort_keys=False,
                          allow_unicode=True, width=99)
    readme = _readme(design, list(tables), given - len(rows))
    return {'study.yaml': text, **tables, 'README.md': readme}


def _left_out(rows: Sequence[TrialRow]) -> list[list[TrialRow]]:
    """Return the invalid trials, no place twice in a file: an import takes one trial a place."""
    times: Counter[int] = Counter()
    found: list[list[TrialRow]] = []
    for row in rows:
        if row.valid:
            continue
        if times[row.index] == len(found):
            found.append([])
        found[times[row.index]].append(row)
        times[row.index] += 1
    return found


def _table(rows: Sequence[TrialRow], design: Design, arms: Mapping[str, str],
           conditions: Mapping[str, str]) -> str:
    tags = identifiers(design.failure_reasons)
    stages = [*identifiers(stage.id for stage in design.rubric).values(), _success(design)]
    file = io.StringIO()
    writer = csv.DictWriter(file, FIELDS, lineterminator='\n')
    writer.writeheader()
    for row in rows:
        reached = len(stages) if row.success else row.stages
        writer.writerow({
            'condition': f'round={row.round},condition={conditions[row.condition]}',
            'arm': arms[row.arm], 'success': int(row.success) if row.valid else '',
            'stage': stages[reached - 1] if reached else '',
            'duration_s': round(row.seconds, 3) if math.isfinite(row.seconds) else '',
            'termination': 'success' if row.success else ENDS.get(row.end_reason, 'other'),
            'failure_tags': tags.get(row.reason, '') if row.verdict == 'failure' else '',
            'operator': row.who, 'rig': row.robot, 'session': f'{row.log[:8]}-{row.session}',
            'status': 'completed' if row.valid else 'invalid',
            'invalid_reason': '' if row.valid else row.reason, 'notes': row.note})
    return file.getvalue()


def _success(design: Design) -> str:
    """Return the name of the stage that is the success; stages of the rubric come before it."""
    taken = set(identifiers(stage.id for stage in design.rubric).values())
    return next(name for name in ('success', 'done', 'solved', *map(str, range(len(taken) + 1)))
                if name not in taken)


def _study(design: Design, rows: Sequence[TrialRow], arms: Mapping[str, str],
           conditions: Mapping[str, str]) -> dict[str, Any]:
    baseline, candidate = (arms[arm.name] for arm in design.arms[:2])
    stages = identifiers(stage.id for stage in design.rubric)
    return {
        'fieldtrial': 1, 'name': next(iter(identifiers([design.title]).values())),
        'title': design.title, 'task': {'description': design.question},
        'rubric': {
            'stages': [*({'id': stages[stage.id], 'label': stage.text}
                         for stage in design.rubric),
                       {'id': _success(design), 'label': 'success'}],
            'success': _success(design),
            'failure_tags': list(identifiers(design.failure_reasons).values())},
        'limits': {'timeout_s': design.timeout},
        'arms': [{'id': arms[arm.name], 'label': arm.name,
                  'policy': {'path': arm.checkpoint, 'sha256': arm.hash}} for arm in design.arms],
        'conditions': {'factors': {
            'round': {'values': sorted({row.round for row in rows})},
            'condition': {'values': list(conditions.values())}}},
        'design': {'type': 'randomized_block', 'order': 'fixed', 'blinding': 'none',
                   'seed': design.seed},
        'analysis': {
            'primary': {'comparison': {'treatment': candidate, 'control': baseline},
                        'alternative': 'two-sided',
                        'alpha': min(2 * design.alpha, LARGEST_ALPHA)},
            'multiplicity': 'holm',
            **({'secondary': ['stage_reached']} if design.rubric else {}),
            'stopping': {'rule': 'anytime' if _anytime(design) else 'fixed'}}}


def _anytime(design: Design) -> bool:
    """Say whether fieldtrial looks as the study did: its rule for it knows two arms."""
    return design.stopping.rule == 'anytime' and len(design.arms) == 2


def _confidence(design: Design) -> float:
    """Return the confidence of fieldtrial's interval, in per cent: 95 except of its bet."""
    return 100 * (1 - min(2 * design.alpha, LARGEST_ALPHA)) if _anytime(design) else 95.0


def _readme(design: Design, tables: Sequence[str], missing: int) -> str:
    lines = [f'# {design.title}', '',
             'A finished blinded study, written by vla_drop for fieldtrial 0.3:', '', '```',
             'pip install fieldtrial', 'fieldtrial lock .',
             *(f'fieldtrial import . {name}' for name in tables), 'fieldtrial analyze .',
             'fieldtrial report .', '```', '',
             'Import in this order: a place is free again after a trial that was left out.', '',
             'Each pair is a condition of its own: round, condition. The pruned arm is shown to '
             'lose less',
             f'than the margin of {design.margin:.0%} where the lower end of the interval is '
             f'above -{design.margin:.0%}. The',
             f'interval has {_confidence(design):.4g} %; the study itself allows an error of '
             f'{100 * design.alpha:.4g} % on each side.', '',
             f'Only complete rounds are here; {missing} trials of other rounds are not.']
    if design.stopping.rule == 'exact_paired':
        lines += ['', 'The study could stop after any complete round. The analysis here is that '
                  'of one look, at a', 'number of pairs fixed beforehand: the verdict of the '
                  'study is that of vla_drop trials report.']
    if len(design.arms) > 2:
        lines += ['', "Arms are compared with Cochran's Q and pairwise, after Holm; the order of "
                  'the pruned arms', 'says nothing here.']
    lines += ['', 'The order of the trials within a round and their times of day are not in '
              'these files:', 'fieldtrial makes up its own, so its deviations and drift say '
              'nothing about them.', '']
    return '\n'.join(lines)
