# SPDX-License-Identifier: Apache-2.0
"""Pictures of what the arms did: success, stages, progress, time, latency, conditions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from vla_drop_ros.report.arms import ArmResult
from vla_drop_ros.report.document import Picture
from vla_drop_ros.report.drawing import arm_style, GRID, label, named_rows, svg
from vla_drop_ros.report.letters import Letters
from vla_drop_ros.report.sentences import milliseconds, number, percent
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.posterior import Posterior

if TYPE_CHECKING:
    from matplotlib.figure import Figure

JITTER = 0.16
RATES = [step / 400 for step in range(401)]
HATCHES = (None, '//', '..', 'xx')
MOST_STEPS = 10  # of progress; more values than that are put together


def violins(arms: Sequence[ArmResult], letters: Letters | None = None) -> Picture:
    """Return success by arm: the posterior as a violin, Wilson's interval in it."""
    def draw(figure: 'Figure') -> None:
        axes = figure.subplots()
        densities = [Posterior(arm.successes, arm.trials).density(RATES) for arm in arms]
        high = max(float(one.max()) for one in densities)
        for row, (arm, density) in enumerate(zip(arms, densities, strict=True)):
            style = arm_style(row)
            shown = [rate for rate, height in zip(RATES, density, strict=True)
                     if height > 2e-3 * density.max()]
            half = [0.42 * height / high for height in density if height > 2e-3 * density.max()]
            axes.fill_between([100 * rate for rate in shown], [row - one for one in half],
                              [row + one for one in half], color=style['color'], alpha=0.28,
                              linewidth=0)
            axes.plot([100 * arm.success.low, 100 * arm.success.high], [row, row],
                      color=style['color'], linewidth=2.6, solid_capstyle='butt')
            axes.plot(100 * arm.success.estimate, row, style['marker'], color=style['color'],
                      markersize=7, markeredgecolor='white')
            if letters:
                axes.text(103, row, letters.of[arm.name], va='center', fontsize=10,
                          fontweight='bold')
        named_rows(axes, [f'{label(arm.name, 16)}\nn = {arm.trials}' for arm in arms])
        axes.set_xlim(0, 110 if letters else 101)
        axes.set_xticks(range(0, 101, 20))
        axes.set_xlabel('success [%]')

    words = '; '.join(
        f'{arm.name}: {percent(arm.success.estimate)}, Wilson {percent(arm.success.low)} to '
        f'{percent(arm.success.high)}, posterior {percent(arm.belief.low)} to '
        f'{percent(arm.belief.high)}' + (f', letters {letters.of[arm.name]}' if letters else '')
        for arm in arms)
    return Picture(
        'violins', svg('violins', words, 1.0 + 0.72 * len(arms), draw),
        'Marker: share of successes. Line: 95 % Wilson interval. Violin: posterior from a flat '
        'prior, Beta(1, 1), all of one area; descriptive.' + (
            ' Arms with a letter in common were not told apart; see the tests.' if letters
            else ''), words)


def histogram(arms: Sequence[ArmResult]) -> Picture:
    """Return how many trials of every arm ended at which progress."""
    values = sorted({round(value, 3) for arm in arms for value in arm.progress})
    if len(values) > MOST_STEPS:
        values = [step / MOST_STEPS for step in range(MOST_STEPS + 1)]

    def shares(arm: ArmResult) -> list[float]:
        nearest = [min(values, key=lambda value: abs(value - one)) for one in arm.progress]
        return [nearest.count(value) / max(1, len(nearest)) for value in values]

    def draw(figure: 'Figure') -> None:
        axes = figure.subplots()
        wide = 0.8 / len(arms)
        for place, arm in enumerate(arms):
            style = arm_style(place)
            at = [step + (place - (len(arms) - 1) / 2) * wide for step in range(len(values))]
            axes.bar(at, [100 * share for share in shares(arm)], width=0.92 * wide,
                     color=style['color'], hatch=HATCHES[place % 4], edgecolor='white',
                     linewidth=0, label=f'{label(arm.name)}, n = {arm.trials}')
        axes.set_xticks(range(len(values)), [f'{100 * value:.0f}' for value in values])
        axes.set_xlabel('progress at the end of the trial [%]')
        axes.set_ylabel('trials [%]')
        axes.tick_params(axis='x', length=0)
        axes.grid(axis='y', color=GRID, linewidth=0.8)
        axes.legend(loc='lower left', bbox_to_anchor=(0, 1), ncol=2, borderaxespad=0.2)

    words = '; '.join(f'{arm.name}: ' + ', '.join(
        f'{percent(value)} in {percent(share)}' for value, share in zip(
            values, shares(arm), strict=True)) for arm in arms)
    return Picture('progress', svg('progress', words, 2.9, draw),
                   'Share of the trials of each arm that ended with this progress: 0 a plain '
                   'failure, 100 % a success, between them partial successes.', words)


def funnel(arms: Sequence[ArmResult], design: Design) -> Picture:
    """Return how many trials came how far, by stage of the rubric."""
    stages = [stage.id for stage in design.rubric] + ['success']

    def draw(figure: 'Figure') -> None:
        axes = figure.subplots()
        high = 0.78 / len(arms)
        for place, arm in enumerate(arms):
            rows = [step + (place - (len(arms) - 1) / 2) * high for step in range(len(stages))]
            axes.barh(rows, [100 * share for share in arm.stages], height=0.9 * high,
                      color=arm_style(place)['color'], label=f'{label(arm.name)}, '
                      f'n = {arm.trials}', hatch=HATCHES[place % 4],
                      edgecolor='white', linewidth=0)
            for row, share in zip(rows, arm.stages, strict=True):
                axes.text(min(100 * share + 1, 101), row, f'{100 * share:.0f}', va='center',
                          fontsize=8.5)
        named_rows(axes, stages)
        axes.set_xlim(0, 110)
        axes.set_xlabel('trials that came at least so far [%]')
        axes.legend(loc='lower left', bbox_to_anchor=(0, 1), ncol=2, borderaxespad=0.2)

    words = '; '.join(f'{arm.name}: ' + ', '.join(
        f'{stage} {percent(share)}' for stage, share in zip(stages, arm.stages, strict=True))
        for arm in arms)
    return Picture('funnel', svg('funnel', words, 1.3 + 0.24 * len(stages) * (len(arms) + 1),
                                 draw),
                   'Share of the trials of each arm that reached a stage of the rubric. A plain '
                   'failure counts as no stage.', words)


def solved(arms: Sequence[ArmResult], timeout: float) -> Picture:
    """Return the share solved by a time; a failure never solves."""
    def draw(figure: 'Figure') -> None:
        axes = figure.subplots()
        for place, arm in enumerate(arms):
            style = arm_style(place)
            seconds = [0.0, *arm.solved.seconds, timeout]
            share = [0.0, *arm.solved.share, arm.solved.share[-1] if arm.solved.share else 0.0]
            axes.step(seconds, [100 * one for one in share], where='post', color=style['color'],
                      linestyle=style['linestyle'], linewidth=2,
                      label=f'{label(arm.name)}, n = {arm.trials}')
        axes.set_xlim(0, timeout)
        axes.set_ylim(0, 103)
        axes.set_xlabel('time since the start [s]')
        axes.set_ylabel('solved [%]')
        axes.grid(color=GRID, linewidth=0.8)
        axes.legend(loc='lower left', bbox_to_anchor=(0, 1), ncol=2, borderaxespad=0.2)

    words = '; '.join(f'{arm.name}: mean {number(arm.solved.restricted_mean, 1)} s with failures '
                      f'at {timeout:g} s' for arm in arms)
    return Picture('solved', svg('solved', words, 3.0, draw),
                   'Share of trials that were solved by a time, to the moment they were ended. A '
                   'failure never solves, however long one waits.', words)


def latency(arms: Sequence[ArmResult]) -> Picture:
    """Return the latency of every trial of the arms."""
    measured = [(place, arm) for place, arm in enumerate(arms) if arm.speed.trials]

    def draw(figure: 'Figure') -> None:
        axes = figure.subplots()
        for row, (place, arm) in enumerate(measured):
            style, values = arm_style(place), sorted(arm.speed.medians)
            spread = [row + JITTER * ((7 * step) % 5 - 2) / 2 for step in range(len(values))]
            axes.plot([1000 * value for value in values], spread, style['marker'],
                      color=style['color'], markersize=4, alpha=0.45, markeredgewidth=0)
            middle, late = 1000 * arm.speed.median, 1000 * arm.speed.p95
            axes.plot([middle, middle], [row - 0.3, row + 0.3], color=style['color'],
                      linewidth=2.4)
            axes.plot(late, row, '>', color=style['color'], markersize=7,
                      markerfacecolor='white')
            axes.text(middle, row - 0.34, f'{middle:.0f} ms', ha='center', va='bottom',
                      fontsize=9)
        named_rows(axes, [f'{label(arm.name, 16)}\nn = {arm.speed.trials}'
                          for _, arm in measured])
        axes.set_ylim(len(measured) - 0.4, -0.75)
        axes.set_xlim(left=0)
        axes.set_xlabel('capture of the images to the command [ms]')

    words = '; '.join(f'{arm.name}: median {milliseconds(arm.speed.median)}, 95 % within '
                      f'{milliseconds(arm.speed.p95)}' for _, arm in measured)
    return Picture('latency', svg('latency', words, 1.0 + 0.68 * len(measured), draw),
                   'A point: median of one trial. Bar: median of the trials. Hollow triangle: '
                   "median of the trials' 95th percentiles.", words)


def heat_map(arms: Sequence[ArmResult], design: Design) -> Picture:
    """Return success by condition and arm."""
    names = [one.id for one in design.conditions]

    def draw(figure: 'Figure') -> None:
        axes = figure.subplots()
        shares = [[won / max(1, made) for won, made in (arm.conditions[name] for arm in arms)]
                  for name in names]
        axes.pcolormesh([place - 0.5 for place in range(len(arms) + 1)],
                        [place - 0.5 for place in range(len(names) + 1)], shares,
                        cmap='cividis', vmin=0, vmax=1, edgecolors='white', linewidth=2)
        axes.set_ylim(len(names) - 0.5, -0.5)
        for row, name in enumerate(names):
            for column, arm in enumerate(arms):
                won, made = arm.conditions[name]
                axes.text(column, row, f'{won} / {made}', ha='center', va='center',
                          color='black' if shares[row][column] > 0.55 else 'white')
        axes.set_yticks(range(len(names)), [label(name, 20) for name in names])
        axes.set_xticks(range(len(arms)), [label(arm.name, 40 // len(arms)) for arm in arms])
        axes.xaxis.tick_top()
        axes.tick_params(length=0)
        for side in axes.spines.values():
            side.set_visible(False)

    words = '; '.join(f'{name}: ' + ', '.join(
        f'{arm.name} {arm.conditions[name][0]} of {arm.conditions[name][1]}' for arm in arms)
        for name in names)
    return Picture('conditions', svg('conditions', words, 0.8 + 0.36 * len(names), draw),
                   'Successes / trials of every condition; the brighter, the more.', words)
