# SPDX-License-Identifier: Apache-2.0
"""Pictures of differences: by task, of the evidence over the pairs, against sparsity."""

from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING

from vla_drop_ros.report.arms import ArmResult
from vla_drop_ros.report.comparison import Comparison
from vla_drop_ros.report.document import Picture
from vla_drop_ros.report.drawing import arm_style, COLOURS, INK, label, named_rows, QUIET, svg
from vla_drop_ros.report.sentences import percent, span
from vla_drop_ros.trials.evidence import Hypothesis
from vla_drop_ros.trials.statistics import Interval
from vla_drop_ros.trials.verdict import Verdict
from vla_drop_ros.trials.wording import points

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACCEPTED = '#e6f3ee'  # as far as one may prune
FORBIDDEN = '#fbe9e1'  # where a difference loses more than the margin
PANELS: tuple[tuple[Hypothesis, str], ...] = (
    ('non_inferior', 'for "no worse than the margin"'), ('worse', 'for "worse"'))


def forest(comparison: Comparison, place: int) -> Picture:
    """Return the differences by task and of the whole study, against 0 and minus the margin."""
    verdict = comparison.verdict
    margin, level = verdict.terms.margin, points(1 - 2 * verdict.terms.alpha)
    lines: list[tuple[str, int, Interval]] = [
        (one.task, one.pairs, one.difference) for one in comparison.tasks]
    lines.append(('WHOLE STUDY', verdict.counts.pairs, verdict.interval))

    def draw(figure: 'Figure') -> None:
        axes = figure.subplots()
        reach = max([margin + 0.05, 0.1, *(abs(edge) for _, _, one in lines
                                           for edge in (one.low, one.high) if isfinite(edge))])
        axes.axvspan(-150 * reach, -100 * margin, color=FORBIDDEN, linewidth=0)
        axes.axvline(0, color=INK, linewidth=1)
        axes.axvline(-100 * margin, color=COLOURS[1], linewidth=1.4, linestyle=(0, (4, 2)))
        for row, (name, _, one) in enumerate(lines):
            whole = name == 'WHOLE STUDY'
            colour = INK if whole else arm_style(place)['color']
            axes.plot([100 * one.low, 100 * one.high], [row, row], color=colour,
                      linewidth=3.4 if whole else 2.2, solid_capstyle='round', alpha=0.55)
            axes.plot(100 * one.estimate, row, 'D' if whole else 's', color=colour,
                      markersize=8 if whole else 6)
        named_rows(axes, [f'{label(name, 16)}\nn = {pairs}' for name, pairs, _ in lines])
        axes.axhline(len(lines) - 1.5, color=QUIET, linewidth=0.6)
        axes.set_xlim(-105 * reach, 105 * reach)
        axes.set_xlabel('difference of success [points]')
        axes.set_title(f'{label(comparison.name, 18)} minus {label(comparison.baseline, 18)}')
        axes.annotate(f'margin\n{points(-margin, True)}', (-100 * margin, -0.55), (-4, 0),
                      textcoords='offset points', ha='right', va='top', fontsize=9,
                      color='#9a3f00')

    words = '; '.join(f'{name}: {span(one)} points over {pairs} pairs'
                      for name, pairs, one in lines)
    return Picture(
        f'forest-{place}', svg(f'forest{place}', words, 1.35 + 0.46 * len(lines), draw),
        f'Squares: one task each, {level} % Tango intervals for one look, not adjusted for '
        f'their number. Diamond: the primary analysis, {level} % interval right under the '
        'stopping rule. Shaded: a loss of more than the margin. n: pairs.', words)


def evidence(comparison: Comparison, place: int) -> Picture:
    """Return statistic against threshold, look by look."""
    verdict = comparison.verdict
    bet = verdict.terms.rule == 'anytime'

    def draw(figure: 'Figure') -> None:
        for axes, (name, title) in zip(figure.subplots(2, 1, sharex=True), PANELS, strict=True):
            _looks(axes, verdict, name, place)
            axes.set_title(f'Evidence {title}')
            axes.set_ylabel('log e-value' if bet else 'score z')
        axes.set_xlabel('complete pairs')

    last = {name: looks[-1] for name, looks in verdict.looks.items() if looks}
    words = '; '.join(
        f'{name.replace("_", " ")}: {look.statistic:.2f} at {look.pairs} pairs, threshold '
        f'{look.threshold:.2f}, ' + (f'crossed at {verdict.rejections[name]} pairs'
                                     if verdict.rejections[name] else 'not crossed')
        for name, look in last.items() if name in dict(PANELS) and isfinite(look.threshold))
    what = {
        'anytime': 'the logarithm of the e-value (the stake of a bet) against log(1 / error)',
        'fixed': "Tango's score, for the eye; it is compared once, with the dash at the horizon",
        'exact_paired': "Tango's score against the boundary that was stored before the first trial"
    }[verdict.terms.rule]
    return Picture(
        f'evidence-{place}', svg(f'evidence{place}', words or 'no look has a threshold', 4.3,
                                 draw),
        f'Points, after every complete round: {what}. Above the dashed line the claim is shown; '
        'a star marks where it was first.', words or 'no look has a threshold')


def _looks(axes: 'Axes', verdict: Verdict, name: Hypothesis, place: int) -> None:
    looks = verdict.looks.get(name, ())
    shown = [look for look in looks if isfinite(look.statistic)]
    style = arm_style(place)
    axes.axhline(0, color=QUIET, linewidth=0.7)
    axes.plot([look.pairs for look in shown], [look.statistic for look in shown],
              color=style['color'], marker=style['marker'], markersize=4, linewidth=1.4)
    bounds = [look for look in looks if isfinite(look.threshold)]
    marker = '' if len(bounds) > 1 else '_'
    axes.plot([look.pairs for look in bounds], [look.threshold for look in bounds],
              color=INK, linewidth=1.5, marker=marker, markersize=14, linestyle=(0, (4, 2)))
    first = next((look for look in shown if look.crossed), None)
    if first is not None:
        axes.plot(first.pairs, first.statistic, '*', color=INK, markersize=13)
    axes.set_xlim(0, max([verdict.terms.horizon, *(look.pairs for look in looks)]) * 1.03)
    axes.grid(axis='y', color='#e4e6e9', linewidth=0.8)


def ladder(arms: Sequence[ArmResult], comparisons: Sequence[Comparison]) -> Picture:
    """Return success against the share of parameters that is left, or against the order."""
    whole = arms[0].facts.parameters
    known = bool(whole) and all(arm.facts.parameters for arm in arms)
    places = [100 * (1 - arm.facts.parameters / whole) if known else float(step)
              for step, arm in enumerate(arms)]
    furthest = max([places[0], *(place for place, arm in zip(places, arms, strict=True)
                                 if any(one.name == arm.name and one.rung.accepted
                                        for one in comparisons))])
    accepted = {arms[0].name} | {one.name for one in comparisons if one.rung.accepted}

    def draw(figure: 'Figure') -> None:
        axes = figure.subplots()
        if furthest > places[0]:
            axes.axvspan(places[0], furthest, color=ACCEPTED, linewidth=0)
        axes.plot(places, [100 * arm.success.estimate for arm in arms], color=QUIET, linewidth=1)
        for step, (x, arm) in enumerate(zip(places, arms, strict=True)):
            style = arm_style(step)
            axes.plot([x, x], [100 * arm.success.low, 100 * arm.success.high], linewidth=3,
                      color=style['color'], alpha=0.5, solid_capstyle='round')
            axes.plot(x, 100 * arm.success.estimate, marker=style['marker'], markersize=8,
                      color=style['color'], linestyle='none', markeredgewidth=1.6,
                      markerfacecolor=style['color'] if arm.name in accepted else 'white')
        room = 0.16 * (max(places) - min(places) or 1.0)
        axes.set_xlim(min(places) - room, max(places) + room)
        if known:
            axes.set_xlabel('parameters removed [%]')
            axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= 100])
            axes.set_xlim(min(places) - room, max(places) + room)
            top = axes.secondary_xaxis('top')
            top.set_xticks(places, [label(arm.name, 14) for arm in arms], fontsize=9)
        else:
            axes.set_xticks(places, [label(arm.name, 14) for arm in arms])
            axes.set_xlabel('checkpoints, by increasing sparsity')
        axes.set_ylim(-3, 103)
        axes.set_ylabel('success [%]')
        axes.grid(axis='y', color='#e4e6e9', linewidth=0.8)

    words = '; '.join(f'{arm.name}: {percent(arm.success.estimate)} of {arm.trials} trials, '
                      + ('accepted' if arm.name in accepted else 'not accepted') for arm in arms)
    return Picture('ladder', svg('ladder', words, 3.0, draw),
                   'Success of every checkpoint, 95 % Wilson intervals; filled: baseline and '
                   'accepted checkpoints, hollow: not accepted.'
                   + (' Shaded: as far as the furthest accepted one.'
                      if furthest > places[0] else ''), words)
