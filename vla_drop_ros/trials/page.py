# SPDX-License-Identifier: Apache-2.0
"""Write the report of a study as one HTML page that needs no other file."""

from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from string import Template

from vla_drop_ros.errors import TrialError
from vla_drop_ros.trials.episode import Episode
from vla_drop_ros.trials.report import (
    ArmSummary,
    LIMITS_OF_THE_RESULT,
    milliseconds,
    percent,
    sentence,
    Summary,
)

MIME = {'.png': 'image/png', '.gif': 'image/gif', '.jpg': 'image/jpeg'}
TEMPLATE = Path(__file__).with_name('page.html')


@dataclass(frozen=True, slots=True)
class Extras:
    """What the page holds beside the study itself.

    Attributes:
        title: heading of the page.
        subtitle: a line below it.
        films: animation file -> caption.
        plot: PNG of ``save_plot``; None leaves it out.
        commands: what a reader types to get this again.
        limits: what the result does not show, beside what is true of every study.
        sizes: arm name -> words about the checkpoint, for instance its parameter count.
        provenance: name -> value: versions, machine, files.

    """

    title: str = 'Checkpoints on the same scenes'
    subtitle: str = ''
    films: Mapping[Path, str] = field(default_factory=dict)
    plot: Path | None = None
    commands: Sequence[str] = ()
    limits: Sequence[str] = ()
    sizes: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)


def write_page(path: str | Path, summary: Summary, episodes: Sequence[Episode],
               extras: Extras) -> None:
    """Write the page, all pictures inside it.

    Raises:
        TrialError: a picture cannot be read or the page cannot be written.

    """
    study = summary.study
    last = study.seed + study.episodes - 1
    try:
        text = Template(TEMPLATE.read_text(encoding='utf-8')).substitute(
            title=escape(extras.title), subtitle=escape(extras.subtitle),
            verdicts=_verdicts(summary),
            films=''.join(_figure(film, caption) for film, caption in extras.films.items()),
            arms=_arms(summary.arms, extras.sizes),
            plot=_figure(extras.plot, 'Points are estimates, bars 95 % intervals.')
            if extras.plot else '',
            pairs=_pairs(summary),
            limits=''.join(f'<li>{escape(text)}</li>'
                           for text in (*LIMITS_OF_THE_RESULT, *extras.limits)),
            seeds=f'{study.seed} to {last}', episodes=_episodes(episodes),
            commands=escape('\n'.join(extras.commands)),
            provenance=_table(('', ''), [(escape(k), f'<code>{escape(v)}</code>')
                                         for k, v in extras.provenance.items()]))
        Path(path).write_text(text, encoding='utf-8')
    except OSError as error:
        raise TrialError(f'cannot write the report {path}: {error.filename}: {error.strerror}') \
            from error


def _figure(path: Path, caption: str) -> str:
    data = b64encode(path.read_bytes()).decode()
    return (f'<figure><img alt="{escape(caption)}" src="data:{MIME[path.suffix]};base64,{data}">'
            f'<figcaption>{escape(caption)}</figcaption></figure>')


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; cells are HTML already."""
    heading = ''.join(f'<th>{cell}</th>' for cell in head)
    body = ''.join('<tr>' + ''.join(f'<td>{cell}</td>' for cell in row) + '</tr>' for row in rows)
    return f'<table>{f"<tr>{heading}</tr>" if any(head) else ""}{body}</table>'


def _verdicts(summary: Summary) -> str:
    boxes = [f'<p class="verdict">{escape(sentence(pair))}</p>' for pair in summary.pairs]
    if not summary.complete:
        boxes.append('<p class="verdict warning">Not all planned scenes were run: these numbers '
                     'are a look at the middle.</p>')
    return ''.join(boxes)


def _arms(arms: Sequence[ArmSummary], sizes: Mapping[str, str]) -> str:
    rows = []
    for arm in arms:
        interval = arm.success
        invalid = ', '.join(f'{count} x {reason}' for reason, count in arm.invalid.items())
        solved = '-' if arm.solved_in != arm.solved_in else f'{arm.solved_in:.1f} s'
        rows.append([
            f'<strong>{escape(arm.arm.name)}</strong>', f'<code>{arm.arm.short}</code>',
            escape(sizes.get(arm.arm.name, '')),
            f'{arm.successes} of {arm.trials} ({percent(interval.estimate)} %)',
            f'{percent(interval.low)} to {percent(interval.high)} %',
            f'{arm.outcomes.get("failure", 0)}', f'{arm.outcomes.get("timeout", 0)}',
            f'{milliseconds(arm.latency)}, {milliseconds(arm.latency_p95)} ms', solved,
            escape(invalid) or '0'])
    return _table(('checkpoint', 'hash', 'size', 'success', '95 % Wilson', 'wrong object',
                   'time up', 'latency, p95', 'solved in', 'invalid'), rows)


def _pairs(summary: Summary) -> str:
    rows = [[f'{escape(pair.candidate.name)} and {escape(pair.baseline.name)}',
             *(str(count) for count in (pair.both, pair.candidate_only, pair.baseline_only,
                                        pair.neither)),
             f'{percent(pair.difference.estimate, True)} '
             f'[{percent(pair.difference.low, True)}, {percent(pair.difference.high, True)}]',
             f'{pair.p_value:.3f}',
             f'{percent(pair.worst_case.estimate, True)} '
             f'[{percent(pair.worst_case.low, True)}, {percent(pair.worst_case.high, True)}]']
            for pair in summary.pairs]
    if not rows:
        return ''
    head = ('same scenes', 'both solved', 'first only', 'second only', 'neither',
            'difference, 95 % Tango', 'McNemar p', 'worst case')
    return f'<div class="scroll">{_table(head, rows)}</div>'


def _episodes(episodes: Sequence[Episode]) -> str:
    rows = []
    for episode in episodes:
        why = '; '.join(text for text in (episode.reason, episode.detail) if text)
        rows.append([
            str(episode.slot.pair), str(episode.slot.seed), escape(episode.slot.arm),
            escape(episode.instruction),
            f'<span class="{episode.outcome}">{episode.outcome}</span>',
            f'{episode.duration:.1f} s', escape(episode.moved_object or '-'),
            f'{milliseconds(episode.latency.median)} ms', str(episode.latency.count),
            escape(why[:160])])
    return _table(('scene', 'seed', 'checkpoint', 'instruction', 'outcome', 'after', 'moved',
                   'latency', 'chunks', 'why'), rows)
