# SPDX-License-Identifier: Apache-2.0
"""The numbers of a report are those that anybody would count from the log and the secret."""

from collections import Counter
from collections.abc import Callable
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.report.results import Results, results_of
from vla_drop_ros.report.study_record import read_record, unblind
from vla_drop_ros.trials.locked_study import load_study, open_schedule
from vla_drop_ros.trials.verdict import Word


def recount(folder: Path) -> dict[tuple[str, int], str]:
    """Return (arm, block) -> verdict that counts, straight from the lines of the log."""
    schedule = open_schedule(folder, load_study(folder))
    issued: dict[str, dict[str, Any]] = {}
    found: dict[tuple[str, int], str] = {}
    for line in (folder / 'log.jsonl').read_text().splitlines():
        event = json.loads(line)
        if event['kind'] == 'issued':
            issued[event['data']['code']] = event['data']
        if event['kind'] == 'judged' and event['data']['verdict'] != 'invalid':
            slot = schedule.slot(issued[event['data']['code']]['index'])
            found[slot.arm, slot.pair] = event['data']['verdict']
    return found


def test_pairs_and_successes_are_those_of_the_log(folder: Path, opened: Results) -> None:
    """The four cells and the successes of each arm agree with an independent count."""
    verdicts = recount(folder)
    won = {place: verdict == 'success' for place, verdict in verdicts.items()}
    cells = Counter((won['lean9', pair], success) for (arm, pair), success in won.items()
                    if arm == 'whole9')
    comparison, = opened.comparisons
    counts = comparison.verdict.counts
    assert (counts.both, counts.candidate_only, counts.baseline_only, counts.neither) == (
        cells[True, True], cells[True, False], cells[False, True], cells[False, False])
    assert counts.pairs == opened.pairs_done == 36
    for arm in opened.arms:
        mine = [success for (name, _), success in won.items() if name == arm.name]
        assert (arm.successes, arm.trials) == (sum(mine), len(mine))
    assert len(comparison.discordant) == cells[True, False] + cells[False, True]
    assert {one.solved_by for one in comparison.discordant if one.solved.arm == 'lean9'} <= {
        'lean9'}
    assert all(one.solved.success and not one.failed.success and one.solved.pair == one.failed.pair
               for one in comparison.discordant)


def test_tasks_add_up_to_the_whole(opened: Results) -> None:
    """Pairs and successes of the tasks sum to those of the study; the macro mean is theirs."""
    comparison, = opened.comparisons
    counts = comparison.verdict.counts
    assert sum(task.pairs for task in comparison.tasks) == counts.pairs
    assert sum(task.candidate for task in comparison.tasks) == counts.candidate
    assert sum(task.baseline for task in comparison.tasks) == counts.baseline
    estimates = [(task.candidate - task.baseline) / task.pairs for task in comparison.tasks]
    assert comparison.macro == pytest.approx(sum(estimates) / len(estimates))


def test_failures_stages_and_invalid_trials_by_arm(folder: Path, opened: Results) -> None:
    """Reasons, the funnel's last bar, and what was left out are counted right, by arm."""
    events = [json.loads(line) for line in (folder / 'log.jsonl').read_text().splitlines()]
    invalid = Counter(event['data']['reason'] for event in events if event['kind'] == 'judged'
                      and event['data']['verdict'] == 'invalid')
    undone = {event['data']['code'] for event in events if event['kind'] == 'undone'}
    protocol = opened.protocol
    assert sum(protocol.invalid.values()) <= sum(invalid.values())  # an undone one is given twice
    assert protocol.undone == sum(event['kind'] == 'undone' for event in events) and undone
    assert sum(sum(one.values()) for one in protocol.invalid_by_arm.values()) == sum(
        protocol.invalid.values()) > 0
    verdicts = recount(folder)
    for arm in opened.arms:
        mine = [verdict for (name, _), verdict in verdicts.items() if name == arm.name]
        assert sum(arm.failures.values()) == len(mine) - mine.count('success')
        assert arm.failures.get('partial success', 0) == mine.count('partial')
        assert arm.stages[-1] == pytest.approx(mine.count('success') / len(mine))
        assert list(arm.stages) == sorted(arm.stages, reverse=True)
        assert arm.solved.share[-1] == pytest.approx(arm.success.estimate)


def test_speeds_are_those_of_the_world(opened: Results) -> None:
    """Medians lie where the world put them, and the gain is seen pair by pair."""
    whole9, lean9 = opened.arms
    assert whole9.speed.median == pytest.approx(0.21, rel=0.05)
    assert lean9.speed.median == pytest.approx(0.13, rel=0.05)
    gain = opened.comparisons[0].speed
    assert gain.pairs == 36 and gain.ratio == pytest.approx(0.62, abs=0.04)
    assert gain.p_value < 0.001 and gain.difference == pytest.approx(-0.08, abs=0.01)


def test_the_detector_is_compared_with_the_verdicts(opened: Results) -> None:
    """Every valid trial is in the table of all arms, and the arms' tables add up to it."""
    everyone, *arms = opened.protocol.judges
    def cells(one: Any) -> tuple[int, ...]:
        table = one.agreement
        return table.both, table.first_only, table.second_only, table.neither

    assert [one.arm for one in arms] == ['whole9', 'lean9']
    assert cells(everyone) == tuple(map(sum, zip(*map(cells, arms), strict=True)))
    assert sum(cells(everyone)) == sum(row.valid for row in opened.rows)
    assert 0.6 < everyone.detection.sensitivity.estimate < 1.0


def test_the_verdict_is_the_same_when_the_log_is_read_again(folder: Path, opened: Results
                                                            ) -> None:
    """Reading, merging and reporting again changes no number."""
    again = results_of(unblind(read_record(folder, [folder / 'log.jsonl'] * 2), 'P2'))
    first, second = opened.to_dict(), again.to_dict()
    first.pop('logs'), second.pop('logs')  # the opening is an event more
    assert first == second


def test_looks_are_repeated(opened: Results) -> None:
    """Every look of the conductor says the same when the report asks the rule again."""
    assert opened.protocol.looks == (True,) * 12


def test_blinded_results_hold_no_arm(blinded: Results) -> None:
    """Before the opening there is no arm, no order, no measurement, and the secret is closed."""
    assert blinded.blinded and not blinded.arms and not blinded.comparisons
    assert all(row.arm == '' and row.pair == row.position == -1 and not row.values
               for row in blinded.rows)
    assert not blinded.protocol.guesses and not blinded.protocol.invalid_by_arm
    assert blinded.pairs_done == 36 and blinded.protocol.undone > 0


def test_results_are_plain_json(opened: Results, blinded: Results) -> None:
    """Both forms survive a strict JSON encoder; nan became null."""
    for results in (opened, blinded):
        assert json.loads(json.dumps(results.to_dict(), allow_nan=False))['format'] == 1


@pytest.mark.parametrize(('name', 'world', 'design', 'trials', 'word'), [
    ('nothing', {}, {}, 0, Word.INCONCLUSIVE),
    ('no round', {}, {}, 3, Word.INCONCLUSIVE),
    ('all invalid', {'invalid': {'baseline': 1.0, 'half': 1.0}}, {}, 9, Word.INCONCLUSIVE),
    ('all fail', {'success': {'baseline': 0.0, 'half': 0.0}}, {'horizon': 48}, None,
     Word.UNINTERPRETABLE),
    ('equal', {'success': {'baseline': 0.97, 'half': 0.97}, 'alike': 1.0}, {'horizon': 48}, None,
     Word.NON_INFERIOR),
    ('bad', {'success': {'baseline': 1.0, 'half': 0.2}}, {'horizon': 24}, None, Word.INFERIOR),
    ('anytime', {'success': {'baseline': 1.0, 'half': 0.2}}, {'stopping': {'rule': 'anytime'}},
     60, Word.INFERIOR),
    ('fixed, early', {'success': {'baseline': 1.0, 'half': 0.2}},
     {'stopping': {'rule': 'fixed', 'horizon': 60}}, 60, Word.INCONCLUSIVE)])
def test_any_study_has_a_verdict(
        study: Callable[..., Path], studies: ModuleType, name: str, world: dict[str, Any],
        design: dict[str, Any], trials: int | None, word: Word) -> None:
    """From nothing at all to a clear loss, under every rule: the word that fits, no crash."""
    folder = study(name, world=studies.World(**world), data=studies.design_data(**design),
                   trials=trials)
    results = results_of(unblind(read_record(folder), 'P1', early=True))
    assert results.comparisons[0].verdict.word is word
    json.dumps(results.to_dict(), allow_nan=False)


@pytest.mark.parametrize('several', ['fixed_sequence', 'holm'])
def test_several_checkpoints_climb_the_ladder(study: Callable[..., Path], studies: ModuleType,
                                              several: str) -> None:
    """The sparsest acceptable one is named, and what comes after a failure is not accepted."""
    names = ('base', 'nine', 'three', 'six')
    rates = {'base': 0.97, 'nine': 0.97, 'three': 0.2, 'six': 0.97}
    folder = study(world=studies.World(rates, alike=1.0), data=studies.design_data(
        names, horizon=48, several=several))
    results = results_of(unblind(read_record(folder), 'P1'))
    accepted = {one.name: one.rung.accepted for one in results.comparisons}
    assert accepted == {'nine': True, 'three': False, 'six': several == 'holm'}
    assert results.furthest == ('six' if several == 'holm' else 'nine')
    assert [arm.trials for arm in results.arms] == [48] * 4


@pytest.mark.parametrize('several', ['fixed_sequence', 'holm'])
@pytest.mark.parametrize('trials', [8, 35])
def test_a_round_without_every_arm_counts_for_no_checkpoint(
        study: Callable[..., Path], studies: ModuleType, trials: int, several: str) -> None:
    """Opened in mid-round: verdicts, tasks, arms and status speak of the same pairs."""
    folder = study(data=studies.design_data(('baseline', 'third', 'half'), horizon=12,
                                            several=several), trials=trials)
    results = results_of(unblind(read_record(folder), 'P1', early=True))
    assert results.rounds == trials // 9
    outside = []
    for one in results.comparisons:
        counts = one.verdict.counts
        assert counts.pairs == results.pairs_done == sum(task.pairs for task in one.tasks)
        assert counts.candidate == sum(task.candidate for task in one.tasks)
        outside.append(one.verdict.left_out)
    assert sum(outside) > 0  # the note of the box says so
    assert [arm.trials for arm in results.arms] == [results.pairs_done] * 3
