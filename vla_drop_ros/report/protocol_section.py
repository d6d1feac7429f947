# SPDX-License-Identifier: Apache-2.0
"""The audit of the protocol, in tables."""

from collections.abc import Mapping

from vla_drop_ros.report.document import Block, Cell, Heading, Listing, Section, Table, Words
from vla_drop_ros.report.drift_figure import drift_figure
from vla_drop_ros.report.measured_table import measured_table
from vla_drop_ros.report.results import Results
from vla_drop_ros.report.sentences import count, deviations, number, p_value, percent, span
from vla_drop_ros.trials.rest import PAUSE, WORK
from vla_drop_ros.trials.statistics import Interval

WORST = 'invalid trials at their worst'  # row of the sensitivity table


def protocol_section(results: Results) -> Section:
    """Return whether the study was run as it was locked."""
    said = deviations(results)
    blocks: list[Block] = [
        Listing(tuple(said)) if said else
        Words('Nothing was found that is not as it was locked.'), _summary(results)]
    if results.protocol.invalid:
        blocks += [Heading('Trials that were left out'), _invalid(results)]
    drift = drift_figure(results.rows)
    if drift is not None:
        blocks += [Heading('Did anything change while it ran?'), drift]
    if results.protocol.judges or results.protocol.raters:
        blocks += [Heading('Second judges'), _judges(results)]
    if results.protocol.guesses:
        blocks += [Heading('Did people know which arm ran?'), _guesses(results)]
    if results.protocol.refused or results.protocol.hostile:
        blocks += [Heading('Presses that were refused'), _refused(results)]
    if results.preparation:
        blocks += [Heading('Were the arms handled alike?'), measured_table(
            results.preparation, [arm.name for arm in results.arms],
            'Arms: median of the trials. Differences: mean over n pairs, 95 % bootstrap interval '
            'over pairs, one look. A person who did not know the arm cannot have differed, but '
            'for luck; the time until the policy answered is its own.')]
    return Section('protocol', 'Protocol', (*blocks, Heading('Sessions and breaks'),
                                            _sessions(results)))


def _summary(results: Results) -> Table:
    protocol, drift = results.protocol, results.protocol.drift
    parts = ', '.join(f'{won}/{made}' for won, made in drift.parts if made) or '-'
    rows: list[tuple[Cell, ...]] = []
    for one in results.comparisons:
        order, against = one.order, f'{one.name} against {one.baseline}'
        rows += [
            (f'{against}: order', f'{one.name} first in {order.candidate_first} of '
             f'{order.pairs} pairs', f'{p_value(order.balance_p)} of a fair coin'),
            (f'{against}: place in the pair', f'only the first solved {order.first_only}, only '
             f'the second {order.second_only}', f'{p_value(order.order_p)} of no effect')]
    rows.append(('drift, arms together', f'success in quarters of the study: {parts}',
                 f'{p_value(drift.trend)} of no trend, {p_value(drift.homogeneity)} of alike'))
    if len(protocol.sessions) > 1:
        rows.append(('sessions, arms together', ', '.join(
            f'{one.successes}/{one.trials}' for one in protocol.sessions),
            f'{p_value(protocol.sessions_alike)} of alike'))
    if protocol.looks is not None:
        rows.append(('looks of the stopping rule', count(len(protocol.looks), 'look'),
                     'not repeated: several logs' if len(results.record.logs) > 1 else
                     'none yet' if not protocol.looks else
                     'the same data say the same now' if all(protocol.looks) else
                     f'{protocol.looks.count(False)} say otherwise now'))
    rows += [
        ('verdicts taken back', count(protocol.undone, 'undo', 'undos'),
         f'{protocol.changed} of them then given otherwise'),
        ('verdicts corrected later', str(len(protocol.relabelled)), ''),
        ('verdicts of which people were unsure', str(protocol.unsure), ', '.join(
            f'{arm} {times}' for arm, times in protocol.unsure_by_arm.items())
         if protocol.unsure else ''),
        ('how trials ended', _counts(protocol.ends), ''),
        ('who judged', _counts(protocol.sources), ''),
        ('crashes, torn lines', f'{count(protocol.crashes, "crash", "crashes")}, '
         f'{count(len(protocol.repairs), "repair")} of {sum(protocol.repairs)} bytes',
         f'{protocol.torn} torn bytes ignored now' if protocol.torn else ''),
        ('trials without a whole bag', str(protocol.lost), '')]
    rows += [(f'scene against its reference, {arm.name}',
              f'match {number(arm.match)} (median of {arm.matches})', '')
             for arm in results.arms if arm.matches]
    return Table(('what', 'found', 'test'), tuple(rows),
                 'Tests are two-sided. A small p is a reason to look, no verdict: the random '
                 'order within pairs protects the comparison.')


def _invalid(results: Results) -> Table:
    protocol = results.protocol
    if results.blinded:
        return Table(('reason', 'trials'), tuple(
            (reason, str(times)) for reason, times in protocol.invalid.items()),
            'By arm once the study is opened.')
    names = [arm.name for arm in results.arms]
    rows: list[tuple[Cell, ...]] = [
        (reason, *(str(protocol.invalid_by_arm[name].get(reason, 0)) for name in names))
        for reason in protocol.invalid]
    totals = {name: sum(row.arm == name for row in results.rows) for name in names}
    rows.append(('of attempts', *(
        f'{sum(protocol.invalid_by_arm[name].values())} of {totals[name]}' for name in names)))
    tests = ', '.join(f'{one.name} {p_value(one.invalid.p_value)}'
                      for one in results.comparisons)
    worst = '; '.join(f'{one.name} {span(row.interval)} points' for one in results.comparisons
                      for row in one.rows if row.name == WORST and row.pairs) or 'no pair'
    return Table(('reason', *names), tuple(rows),
                 f"Fisher's exact test of equal shares, against the baseline: {tests}. Had every "
                 f'one of them spoken for the baseline: {worst}.')


def _judges(results: Results) -> Table:
    rows = []
    for one in results.protocol.judges:
        table, seen = one.agreement, one.detection
        total = table.both + table.first_only + table.second_only + table.neither
        rows.append((one.source, one.arm, str(total), str(table.both), str(table.first_only),
                     str(table.second_only), str(table.neither), _plain(table.kappa),
                     percent(seen.sensitivity.estimate), percent(seen.specificity.estimate)))
    for rater in results.protocol.raters:
        for which, told in (('a random part', rater.found.drawn),
                            ('unsure ones', rater.found.unsure)):
            total = told.both + told.first_only + told.second_only + told.neither
            if total:
                rows.append((f'{rater.found.rater}, {which}', rater.arm, str(total),
                             str(told.both), str(told.first_only), str(told.second_only),
                             str(told.neither), _plain(told.kappa), '-', '-'))
    return Table(('source', 'arm', 'trials', 'both success', 'verdict only', 'source only',
                  'neither', 'kappa [95 %]', 'sees successes', 'sees failures'), tuple(rows),
                 "The study's verdicts against another source. Cohen's kappa: 1 agree, 0 as by "
                 'luck. A source that sees one arm better than the other must not judge. '
                 'People rated recordings without knowing arm and verdict; unsure trials stand '
                 'apart, as they are no random part.',
                 wide=True)


def _guesses(results: Results) -> Table:
    rows = tuple((one.arm, str(one.right), str(one.wrong), str(one.unknown), _plain(one.index))
                 for one in results.protocol.guesses)
    return Table(('arm that ran', 'right', 'wrong', 'cannot tell', "Bang's index [95 %]"), rows,
                 '0: blind; 1: all knew; -1: all believed the opposite.')


def _refused(results: Results) -> Table:
    protocol = results.protocol
    rows = [(what, str(times)) for what, times in protocol.refused.items()]
    rows += [(f'hostile: {what}', str(times)) for what, times in protocol.hostile.items()]
    return Table(('press', 'times'), tuple(rows), 'They changed nothing.')


def _sessions(results: Results) -> Table:
    rows = tuple(
        (f'{one.robot} {one.number}', one.operator or '-', one.begun[:16].replace('T', ' '),
         number(one.hours, 1, 'h'), f'{one.breaks}, {number(one.rested, 1, "h")}'
         if one.breaks else '0', number(60 * one.longest, 0, 'min'), str(one.trials),
         percent(one.successes / one.trials) if one.trials else '-')
        for one in results.protocol.sessions)
    return Table(('session', 'operator', 'begun, UTC', 'lasted', 'breaks', 'longest work',
                  'valid trials', 'success, all arms'), rows,
                 f'A break is {PAUSE / 60:.0f} minutes and more between two trials. Tired people '
                 f'judge differently: after {WORK / 60:.0f} minutes of work the console asks for '
                 'one.', wide=True)


def _counts(times: Mapping[str, int]) -> str:
    return ', '.join(f'{name.replace("_", " ")} {value}' for name, value in
                     sorted(times.items(), key=lambda item: -item[1])) or '-'


def _plain(interval: Interval) -> str:
    if interval.estimate != interval.estimate:
        return '-'
    return f'{interval.estimate:.2f} [{interval.low:.2f}, {interval.high:.2f}]'
