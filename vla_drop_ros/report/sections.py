# SPDX-License-Identifier: Apache-2.0
"""The report of a study, section by section; blinded ones name no arm."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from vla_drop_ros import __version__
from vla_drop_ros.report.arm_figures import funnel, heat_map, latency, solved
from vla_drop_ros.report.comparison import Discordant
from vla_drop_ros.report.difference_figures import evidence, forest, ladder
from vla_drop_ros.report.document import (
    Block,
    Cell,
    Code,
    Document,
    Heading,
    Link,
    Listing,
    Section,
    Table,
    Words,
)
from vla_drop_ros.report.methods import bibliography, paragraph
from vla_drop_ros.report.protocol_section import protocol_section
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sentences import (
    count,
    deviations,
    ladder_sentence,
    milliseconds,
    number,
    p_value,
    percent,
    span,
    status,
    study_in_words,
    verdict_box,
    what_next,
)
from vla_drop_ros.report.trial_row import TrialRow
from vla_drop_ros.trials.solve_time import capped
from vla_drop_ros.trials.statistics import Interval
from vla_drop_ros.trials.wording import points

MIB, MILLION = 2**20, 1e6


@dataclass(frozen=True, slots=True)
class _Places:
    """Where recordings are, and how a trial is named.

    Attributes:
        study: folder of the study.
        home: the same, as seen from the report.
        robots: there are several logs, each with a trial 17: the robot is named as well.

    """

    study: Path
    home: str
    robots: bool


def document(results: Results, footer: str = '', home: str = '..') -> Document:
    """Return the report.

    Args:
        results: of the study.
        footer: says what made it, and when.
        home: folder of the study as seen from the report, for links to recordings.

    """
    design = results.record.study.design
    places = _Places(results.record.folder, home, len(results.record.logs) > 1)
    sections = [_progress(results)] if results.blinded else _open(results, places)
    sections += [protocol_section(results), _reproducibility(results), _trials(results, places)]
    return Document(design.title, design.question, status(results), tuple(sections), footer)


def _open(results: Results, places: _Places) -> list[Section]:
    design, arms = results.record.study.design, results.arms
    found = [_verdicts(results)]
    if not results.rounds:
        return [*found, _methods(results)]
    found += [_differences(results), _pairs(results, places), _success(results)]
    blocks: list[Block] = [funnel(arms, design)] if design.rubric else []
    found.append(Section('stages', 'How far trials came, and how they failed',
                         (*blocks, *_progress_table(results), _failures(results))))
    found.append(Section('time', 'How fast', (solved(arms, design.timeout), _times(results))))
    found.append(Section('cost', 'What pruning saves: latency, memory, size', (
        *([latency(arms)] if any(arm.speed.trials for arm in arms) else []), _costs(results))))
    if len(arms) > 2 or all(arm.facts.parameters for arm in arms):
        found.append(Section('ladder', 'Success against sparsity', (
            ladder(arms, results.comparisons), _rungs(results))))
    return [*found, _sensitivity(results), _next(results), _methods(results)]


def _progress(results: Results) -> Section:
    """Return how far a blinded study is."""
    planned = f' of {results.pairs_planned}' if results.pairs_planned else ', no horizon'
    rule = ('the rule says: you may stop' if results.may_stop else 'the rule says: go on')
    return Section('progress', 'Progress', (
        Table(('', ''), (
            ('complete rounds', str(results.rounds)),
            ('complete pairs', f'{results.pairs_done}{planned}'),
            ('judged trials', str(len(results.rows))),
            ('left out and run again', str(sum(results.protocol.invalid.values()))),
            ('stopping rule', rule if results.rounds else 'no complete round yet'))),
        Words('Nothing here tells one arm from another: no success by arm, no latency, no order. '
              'When the study has ended, the same command opens the arms.', 'quiet')))


def _verdicts(results: Results) -> Section:
    blocks: list[Block] = [verdict_box(one, results) for one in results.comparisons]
    if ladder_sentence(results):
        blocks.insert(0, Words(ladder_sentence(results)))
    blocks.append(Heading('What to do next'))
    blocks.append(Listing(tuple(dict.fromkeys(
        text for one in results.comparisons for text in what_next(one, results)))))
    said = deviations(results)
    if said:
        blocks += [Heading('What was not as it should be'), Listing(tuple(said))]
    return Section('verdict', 'Verdict', tuple(blocks))


def _differences(results: Results) -> Section:
    blocks: list[Block] = []
    for place, one in enumerate(results.comparisons, start=1):
        blocks += [forest(one, place), evidence(one, place)]
        rows = [(task.task, str(task.pairs), f'{task.candidate}', f'{task.baseline}',
                 span(task.difference)) for task in one.tasks]
        counts = one.verdict.counts
        rows.append(('whole study', str(counts.pairs), str(counts.candidate),
                     str(counts.baseline), span(one.verdict.interval)))
        rows.append(('mean over tasks', str(counts.pairs), '', '', points(one.macro, True)))
        blocks.append(Table(
            ('task', 'pairs', one.name, one.baseline, 'difference [points]'), tuple(rows),
            f'Successes of each arm. Intervals of '
            f'{points(1 - 2 * one.verdict.terms.alpha)} %: the whole study under its stopping '
            'rule, tasks for one look. The whole study weighs conditions alike, the mean over '
            'tasks weighs tasks alike.'))
    return Section('difference', 'The difference, and the evidence for it', tuple(blocks))


def _pairs(results: Results, places: _Places) -> Section:
    blocks: list[Block] = []
    for one in results.comparisons:
        counts = one.verdict.counts
        discordant = counts.candidate_only + counts.baseline_only
        if len(results.comparisons) > 1:
            blocks.append(Heading(f'{one.name} and {one.baseline}'))
        blocks.append(Table(
            ('', f'{one.baseline} solved', f'{one.baseline} failed'),
            ((f'{one.name} solved', str(counts.both), str(counts.candidate_only)),
             (f'{one.name} failed', str(counts.baseline_only), str(counts.neither))),
            f'{count(counts.pairs, "pair")} of complete rounds; '
            f'{percent(discordant / counts.pairs) if counts.pairs else "-"} discordant. '
            f"McNemar's exact test, one look: {p_value(one.mcnemar)}."))
        if one.discordant:
            blocks.append(Heading(f'Pairs to watch: only one of {one.name} and {one.baseline} '
                                  'solved them'))
            blocks.append(Table(
                ('condition', 'solved by', 'solved in trial', 'failed in trial', 'how it failed'),
                tuple(_watch(pair, places) for pair in one.discordant), wide=True))
    return Section('pairs', 'Pair by pair', tuple(blocks))


def _watch(pair: Discordant, places: _Places) -> tuple[Cell, ...]:
    how = [pair.failed.reason or pair.failed.verdict]
    if pair.failed.end_reason != 'stopped':
        how.append(pair.failed.end_reason.replace('_', ' '))
    if pair.failed.note:
        how.append(f'"{pair.failed.note[:120]}"')
    return (pair.condition, pair.solved_by, _trial_link(pair.solved, places),
            _trial_link(pair.failed, places), ', '.join(how))


def _trial_link(row: TrialRow, places: _Places) -> Cell:
    """Return the trial, with links to its bag and its picture where they are in the folder."""
    trial = f'{row.robot} {row.code}' if places.robots else row.code
    links: list[Link] = []
    for name, uri in (('bag', row.text('bag', 'uri')), ('picture', row.text('picture', 'uri'))):
        path = Path(uri)
        if path.is_absolute() and path.is_relative_to(places.study.resolve()):
            path = path.relative_to(places.study.resolve())
        if uri and not path.is_absolute() and '..' not in path.parts and ':' not in uri:
            links.append(Link(f'{trial} {name}' if not links else name,
                              f'{places.home}/{path.as_posix()}'))
    return tuple(links) or trial


def _success(results: Results) -> Section:
    rows = [(arm.name, f'{arm.successes} of {arm.trials}', percent(arm.success.estimate),
             _proportions(arm.success)) for arm in results.arms]
    return Section('success', 'Success', (
        heat_map(results.arms, results.record.study.design),
        Table(('arm', 'success', 'share', '95 % interval'), tuple(rows),
              'Valid trials of complete rounds. Wilson intervals, arm by arm: whether two of '
              'them overlap decides nothing, the pairs do.')))


def _proportions(interval: Interval) -> str:
    return f'{percent(interval.low)} to {percent(interval.high)}'


def _progress_table(results: Results) -> list[Block]:
    rows = [(one.name, points(one.progress.mean, True), span(one.progress.anytime),
             p_value(one.progress.p_value))
            for one in results.comparisons if one.progress is not None and one.progress.pairs]
    return [Table(
        ('arm', 'progress against the baseline [points]', 'bounds valid at any time',
         'sign flips, "no better"'), tuple(rows),
        'Progress: stages reached, of all. Mean over pairs; sign flips look once, at the end.')
    ] if rows else []


def _failures(results: Results) -> Block:
    reasons = sorted({reason for arm in results.arms for reason in arm.failures},
                     key=lambda reason: -sum(arm.failures.get(reason, 0) for arm in results.arms))
    rows = [(reason, *(str(arm.failures.get(reason, 0)) for arm in results.arms))
            for reason in reasons]
    partial = [sum(row.counted and row.arm == arm.name and row.verdict == 'partial'
                   for row in results.rows) for arm in results.arms]
    rows.append(('partial success', *map(str, partial)))
    rows.append(('ended by time', *(str(arm.ends.get('timeout', 0)) for arm in results.arms)))
    return Table(('failures', *(arm.name for arm in results.arms)), tuple(rows),
                 'Trials. The last line counts trials of any verdict that ran to the timeout.')


def _times(results: Results) -> Block:
    timeout = results.record.study.design.timeout
    columns = []
    for arm in results.arms:
        fast = capped([row.seconds for row in results.rows if row.counted and row.success
                       and row.arm == arm.name and isfinite(row.seconds)], timeout)
        gain = next((one.time for one in results.comparisons if one.name == arm.name), None)
        columns.append((
            number(arm.solved.restricted_mean, 1, 's'),
            f'{gain.mean * timeout:+.1f} s' if gain and isfinite(gain.mean) else '-',
            p_value(gain.p_value) if gain else '-',
            number(float(fast.mean()) if fast.size else float('nan'), 1, 's')))
    return _by_arm(
        results, ('mean, a failure counts as the longest trial', 'sooner than the baseline',
                  'sign flips, "no faster"', 'mean of the successes alone'), columns,
        f'The longest trial is {timeout:g} s. The last line is of other scenes for every arm, and '
        'compares nothing.')


def _costs(results: Results) -> Block:
    columns = []
    for arm in results.arms:
        gain = next((one.speed for one in results.comparisons if one.name == arm.name), None)
        facts, measured = arm.facts, gain is not None and gain.pairs > 0
        columns.append((
            milliseconds(arm.speed.median), milliseconds(arm.speed.p95),
            milliseconds(arm.speed.worst), f'{gain.ratio:.2f} x' if gain and measured else '-',
            p_value(gain.p_value) if gain and measured else '-', number(arm.memory, 0, 'MB'),
            f'{facts.parameters / MILLION:.1f} M' if facts.parameters else '-',
            f'{facts.bytes / MIB:.0f} MiB' if facts.bytes else '-', facts.blocks or '-',
            number(arm.clipped, 1), number(arm.path, 2, 'm')))
    missing = [f'{arm.name}: {arm.facts.note}' for arm in results.arms if arm.facts.note]
    return _by_arm(
        results, ('latency, median', '95 % within', 'worst', 'of the baseline, pair by pair',
                  'sign flips, "no faster"', 'memory, the most', 'parameters', 'weights',
                  'blocks', 'altered commands a trial', 'way of the hand a trial'), columns,
        'Latency: from the capture of the images to the command, median over trials. Median '
        'ratio and one-sided p value over pairs.'
        + (f' {"; ".join(missing)}.' if missing else ''))


def _by_arm(results: Results, names: Sequence[str], columns: Sequence[Sequence[str]],
            caption: str) -> Table:
    """Return a table with a line a quantity; a quantity that no arm has is left out."""
    rows = [(name, *values) for name, *values in zip(names, *columns, strict=True)
            if set(values) != {'-'}]
    return Table(('', *(arm.name for arm in results.arms)), tuple(rows), caption)


def _rungs(results: Results) -> Block:
    whole = results.arms[0].facts.parameters
    rows = []
    for arm, one in zip(results.arms[1:], results.comparisons, strict=True):
        removed = percent(1 - arm.facts.parameters / whole) if (
            whole and arm.facts.parameters) else '-'
        rows.append((one.name, removed, one.verdict.word.value,
                     'accepted' if one.rung.accepted else one.rung.reason,
                     f'{points(one.verdict.terms.alpha)} %'))
    return Table(('checkpoint', 'parameters removed', 'verdict', 'accepted', 'error'),
                 tuple(rows), ladder_sentence(results))


def _sensitivity(results: Results) -> Section:
    blocks: list[Block] = []
    for one in results.comparisons:
        primary = one.rows[0].no_worse
        rows = [(row.name, str(row.pairs or '-'), span(row.interval),
                 '-' if row.no_worse is None else ('yes' if row.no_worse else 'no')
                 + ('' if row.no_worse == primary else ', DISAGREES'), row.note)
                for row in one.rows]
        if len(results.comparisons) > 1:
            blocks.append(Heading(one.name))
        blocks.append(Table(
            ('analysis', 'pairs', 'difference [points]', 'no worse than the margin?',
             'how to read it'), tuple(rows), 'Only the first row decides.', wide=True))
    return Section('sensitivity', 'The same question in other ways', tuple(blocks))


def _next(results: Results) -> Section:
    last = results.comparisons[-1].name
    if not results.next_studies:
        return Section('planning', 'The next study', (Words('Nothing was observed to plan on.'),))
    return Section('planning', 'The next study', (Table(
        ('margin [points]', 'if the truth is', 'difference', 'discordant', 'pairs, one look',
         'pairs at most, a look a round', 'on average', 'robot-hours'),
        tuple(study_in_words(one) for one in results.next_studies),
        f'For 80 % power to show {last} no worse, error '
        f'{points(results.record.study.design.alpha)} %. Hours of all arms, with the observed '
        'length of a trial and the planned rest. "-": not computed.', wide=True),))


def _methods(results: Results) -> Section:
    text = paragraph(results)
    return Section('methods', 'Methods, ready to paste', (Words(text), Code(bibliography(text))),
                   folded=True)


def _reproducibility(results: Results) -> Section:
    record = results.record
    design = record.study.design
    rows: list[tuple[Cell, ...]] = [
        ('design', design.digest), ('commitment to the schedule', record.study.commitment)]
    if record.schedule is not None:
        rows.append(('commitment checked', 'sha256 of the secret is the commitment; every token '
                     'of the log is that of its place'))
        rows.append(('secret', _secret(results)))
        rows.append(('opening', record.opening))
        rows += [(f'arm {arm.name}', f'{arm.hash} ({arm.checkpoint})') for arm in design.arms]
    rows += [(f'log of {log.opened.get("robot", "")}',
              f'{log.uuid}: {count(len(log.events), "event")}, chain intact, last line '
              f'{log.events[-1].previous[:16]} ... of {log.source.name}')
             for log in record.logs.values()]
    versions = {f'{name} {value}' for _, event in record.events('session')
                for name, value in dict(event.data.get('versions', {})).items()}
    hosts = {' '.join(map(str, dict(event.data.get('host', {})).values()))
             for _, event in record.events('session')}
    rows += [('locked with', f'vla_drop_ros {record.study.tool_version}'),
             ('reported with', f'vla_drop_ros {__version__}'),
             ('versions', ', '.join(sorted(versions)) or '-'),
             ('machines', '; '.join(sorted(hosts)) or '-'),
             ('seed of the design', str(design.seed))]
    return Section('reproducibility', 'Hashes and versions', (
        Table(('', ''), tuple(rows), 'Log chain: every line holds the sha256 of the one before.'),
        Code(f'vla_drop trials report {record.folder.name}')), folded=True)


def _secret(results: Results) -> str:
    secret = results.record.folder / 'secret'
    return secret.read_text().strip() if results.ended else (
        'kept until the study ends, as it tells the rest of the schedule')


def _trials(results: Results, places: _Places) -> Section:
    opened = not results.blinded
    head = ('trial', 'round', 'condition', *(('arm', 'place') if opened else ()), 'verdict',
            'why', 'ended by', 'time', *(('latency',) if opened else ()), 'judged by', 'changes')
    rows = tuple(_trial(row, opened, places) for row in results.rows)
    return Section('trials', 'Every trial', (Table(
        head, rows, 'In the order of the schedule; also in trials.csv.', wide=True),),
        folded=True)


def _trial(row: TrialRow, opened: bool, places: _Places) -> tuple[Cell, ...]:
    changes = [*(f'undone {verdict}' for verdict in row.undone),
               *(f'was {verdict}' for verdict in row.relabelled)]
    cells: list[Cell] = [
        _trial_link(row, places), str(row.round + 1), row.condition]
    cells += [row.arm, str(row.position + 1)] if opened else []
    cells += [row.verdict, '; '.join(text for text in (row.reason, row.note[:160]) if text),
              row.end_reason.replace('_', ' '), number(row.seconds, 1, 's')]
    cells += [milliseconds(row.number('latency', 'median'))] if opened else []
    return (*cells, f'{row.source} {row.who}'.strip(), ', '.join(changes))
