# SPDX-License-Identifier: Apache-2.0
"""Run criteria on one subject, and judge how sure their scores are."""

from collections.abc import Callable, Sequence
import time

import numpy as np

from vla_drop_ros.errors import RankingError
from vla_drop_ros.pruning.criterion import Criterion, criterion, ORACLE, Scores, Subject
from vla_drop_ros.pruning.plan import WIDTH_UNITS
from vla_drop_ros.pruning.probes import probe
from vla_drop_ros.pruning.ranking import CriterionRanking, UnitRanking
from vla_drop_ros.pruning.uncertainty import agreement, interval, resample, spearman, stability
from vla_drop_ros.types import FloatArray

Progress = Callable[[str, float], None]


def rank(subject: Subject, names: Sequence[str], progress: Progress = lambda *_: None, *,
         probes: bool = False) -> dict[str, CriterionRanking]:
    """Run criteria on one subject; the oracle, if among them, judges the others.

    Args:
        subject: model and data.
        names: criteria, see ``criterion.CRITERIA``.
        progress: told the criterion and the share of it that is done.
        probes: also measure what taking shares of channels and heads costs, see ``probes.py``.

    Raises:
        RankingError: unknown criterion, or it lacks what it needs.

    """
    wanted = [criterion(name) for name in names]
    for one in wanted:
        _check_needs(subject, one)
    wanted.sort(key=lambda one: one.name != ORACLE)
    oracle: dict[tuple[str, str], tuple[FloatArray, FloatArray]] = {}
    found = {}
    for one in wanted:
        begin = time.perf_counter()
        subject.tick = lambda share, name=one.name: progress(name, share)  # type: ignore[misc]
        scores = one.measure(subject)
        progress(one.name, 1.0)
        if one.name == ORACLE:
            oracle = {(s.stack, s.unit): (s.values, resample(s.samples, subject.seed))
                      for s in scores}
        units: dict[str, dict[str, UnitRanking]] = {}
        for score in scores:
            units.setdefault(score.unit, {})[score.stack] = _judge(
                one, score, oracle.get((score.stack, score.unit)), subject.seed)
        found[one.name] = CriterionRanking(
            one.higher_means, one.source, time.perf_counter() - begin, units)
        if probes and subject.batches:
            found[one.name] = probe(subject, found[one.name], (
                ('low', 'high') if one.needs == ('base',) else ('low',)))
    return {name: found[name] for name in dict.fromkeys(names)}


def _check_needs(subject: Subject, wanted: Criterion) -> None:
    if 'data' in wanted.needs and not subject.batches:
        raise RankingError(f'criterion {wanted.name!r} needs demonstrations; name them with '
                           '--data, record some with `vla_drop demonstrate`')
    if 'base' in wanted.needs and subject.base is None:
        raise RankingError(
            f'criterion {wanted.name!r} compares with the vision-language model that the policy '
            'was adapted from; name its folder with --base')


def _judge(one: Criterion, score: Scores, oracle: tuple[FloatArray, FloatArray] | None, seed: int,
           ) -> UnitRanking:
    """Add interval, stability and agreement to scores."""
    if score.unit in WIDTH_UNITS:
        return _judge_widths(score, seed)
    values = np.asarray(score.values, dtype=float)
    low = high = steady = None
    if score.samples is not None:
        replicates = resample(np.asarray(score.samples, dtype=float), seed)
        low, high = interval(replicates)
        if one.name == 'cka':  # the mean over batches is not the value over all rows
            low, high = (values + edge - replicates.mean(0) for edge in (low, high))
        steady = stability(values, replicates)
    compared = None
    if oracle is not None and one.name != ORACLE:
        compared = agreement(one.importance(values), *oracle)._asdict()
    return UnitRanking(values, low, high, steady, compared, score.rule, score.extra)


def _judge_widths(score: Scores, seed: int) -> UnitRanking:
    """Add stability to scores of channels or heads; intervals of thousands would not be read.

    Of thousands of units the stability is Spearman's correlation, which needs no pairs.
    """
    steady = None
    if score.samples is not None:
        rhos = [float(np.nanmean(spearman(values, resample(samples, seed, 20))))
                for values, samples in zip(score.values, score.samples, strict=True)
                if len(values) > 1 and np.ptp(values) > 0]
        steady = float(np.mean(rhos)) if np.isfinite(rhos).any() else None
    return UnitRanking(score.values, stability=steady, rule=score.rule, extra=score.extra)
