# SPDX-License-Identifier: Apache-2.0
"""The demo fits its time, destroys nothing of the user's, and its page shows what was run."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
import pytest

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.cli import demo
from vla_drop_ros.cli.main import main
from vla_drop_ros.errors import PlanError, VlaDropError
from vla_drop_ros.manifest import load_manifest
from vla_drop_ros.report.trial_row import TrialRow
from vla_drop_ros.trials.evidence import boundaries, evidence, rejected_at, Terms
from vla_drop_ros.trials.film import Recording


def arguments(*words: str) -> argparse.Namespace:
    """Return the parsed arguments of the demo."""
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize('minutes', [3.0, 5.0, 20.0])
def test_rounds_fit_even_if_nothing_succeeds(minutes: float) -> None:
    """The number of rounds is the largest whose worst case fits into the time."""
    rounds = demo.rounds_that_fit(arguments('--minutes', str(minutes)))
    worst = [demo.START + 2 * len(demo.TASKS) * n * (demo.TIMEOUT + demo.BETWEEN)
             for n in (rounds, rounds + 1)]
    assert worst[0] <= 60 * minutes < worst[1]


def test_rounds_as_asked() -> None:
    """--rounds and --quick win over the time; none at all is refused."""
    assert demo.rounds_that_fit(arguments('--rounds', '20')) == 20
    assert demo.rounds_that_fit(arguments('--quick')) == 1
    assert demo.rounds_that_fit(arguments('--minutes', '0.1')) == 1
    with pytest.raises(VlaDropError, match='at least 1'):
        demo.rounds_that_fit(arguments('--rounds', '0'))


def test_the_design_runs_every_task_with_both(tiny_checkpoint: Path) -> None:
    """The quick one has two scenes; seed and variant reach the simulated robot."""
    smaller = tiny_checkpoint.with_name('smaller')
    whole = demo.design_of(arguments('--variant', 'lighting'), tiny_checkpoint, smaller, 2)
    assert [one.task for one in whole.conditions] == list(demo.TASKS) and whole.rounds == 2
    assert whole.simulation == {'seed': 900_000, 'variant': 'lighting'}
    assert [arm.checkpoint for arm in whole.arms] == [str(tiny_checkpoint), str(smaller)]
    quick = demo.design_of(arguments('--quick'), tiny_checkpoint, smaller, 1)
    assert (len(quick.conditions), quick.stopping.horizon) == (2, 2)


def test_output_of_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    """What a demo wrote goes; a folder with anything else in it is left alone."""
    folder = tmp_path / 'out'
    demo.clear_output(folder)
    (folder / demo.FILM).write_text('old')
    demo.clear_output(folder)
    assert list(folder.iterdir()) == []
    (folder / 'thesis.tex').write_text('precious')
    with pytest.raises(VlaDropError, match='thesis.tex'):
        demo.clear_output(folder)
    assert (folder / 'thesis.tex').read_text() == 'precious'


def test_two_vision_blocks_go_unless_told(tiny_checkpoint: Path, tmp_path: Path) -> None:
    """The tiny model has three vision blocks; named ones win; what is no list is refused."""
    assert demo.default_plan(tiny_checkpoint) == {'vision': [1, 2]}
    told = demo.make_candidate(arguments('-o', str(tmp_path), '--language', '0,3'),
                               tiny_checkpoint)
    dropped = load_manifest(told).dropped or {}
    assert {stack: change['removed'] for stack, change in dropped.items()} == {
        'language': [0, 3], 'action': [0, 3]}
    with pytest.raises(PlanError, match='--vision'):
        demo.make_candidate(arguments('--vision', 'two'), tiny_checkpoint)
    with pytest.raises(PlanError, match='taken as it is'):
        demo.make_candidate(arguments('--vision', '1', '--candidate', str(tiny_checkpoint)),
                            tiny_checkpoint)


def test_a_missing_checkpoint_leaves_the_old_output(tmp_path: Path,
                                                    capsys: pytest.CaptureFixture[str]) -> None:
    """Bad input is refused before anything is deleted or started."""
    (tmp_path / demo.FILM).write_text('old')
    assert main(['demo', '--checkpoint', 'absent', '-o', str(tmp_path)]) == 2
    assert 'absent' in capsys.readouterr().err
    assert (tmp_path / demo.FILM).read_text() == 'old'


def test_beside_the_shipped_baseline_stands_the_recovered_one() -> None:
    """Without other wishes it is the shipped checkpoint, recovered."""
    manifest = load_manifest(demo.make_candidate(arguments(), find_checkpoint('reference')))
    assert manifest.name == demo.RECOVERED and manifest.recovery is not None


def test_the_candidate_is_smaller_and_says_so(tmp_path: Path, tiny_checkpoint: Path) -> None:
    """The copy made on the spot has fewer parameters, and a manifest that names its parent."""
    made = demo.make_candidate(
        arguments('-o', str(tmp_path), '--checkpoint', str(tiny_checkpoint)), tiny_checkpoint)
    manifest = load_manifest(made)
    assert sum(manifest.parameters.values()) < sum(
        load_manifest(tiny_checkpoint).parameters.values())
    assert manifest.name == 'tiny-pruned'


@pytest.fixture(name='row')
def _row() -> Callable[[int, str, bool], TrialRow]:
    def make(pair: int, arm: str, success: bool) -> TrialRow:
        verdict = 'success' if success else 'failure'
        return TrialRow(
            'log', 'robot', 1, '', str(2 * pair + (arm == 'pruned')), pair, 0, 0, 'left_bin',
            'left_bin', pair, 0, arm, True, verdict, 0, 0.0, '', '', 'timeout', 0.3, '', '', {},
            (), (), '', {'bag': {'uri': f'bags/{pair}-{arm}'}, 'instruction': f'scene {pair}'})

    return make


def test_the_animation_shows_a_scene_that_the_baseline_solved(
        tmp_path: Path, row: Callable[[int, str, bool], TrialRow],
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Scene 0 was not solved, so scene 1 is shown, both checkpoints beside each other."""
    asked: list[str] = []

    def recording(bag: Path) -> Recording:
        asked.append(bag.name)
        return Recording(np.full((4, 60, 80, 3), 40, np.uint8), np.array([0.0, 0.2, 0.4, 0.6]))

    monkeypatch.setattr(demo, 'recording_of', recording)
    demo.write_film(tmp_path, [row(pair, arm, pair > 0) for pair in range(3)
                               for arm in ('pruned', 'baseline')])
    assert asked == ['1-baseline', '1-pruned']
    with Image.open(tmp_path / demo.FILM) as film:
        assert film.size[0] >= 160


def test_without_a_whole_pair_there_is_no_animation(
        tmp_path: Path, row: Callable[[int, str, bool], TrialRow]) -> None:
    """A study that was stopped early still gets its report."""
    demo.write_film(tmp_path, [row(0, 'baseline', True)])
    assert not (tmp_path / demo.FILM).exists()


def test_what_the_readme_says_of_its_pairs(tiny_checkpoint: Path) -> None:
    """Without a single difference two rounds show nothing, six are the least that do."""
    smaller, shown = tiny_checkpoint.with_name('smaller'), {}
    for rounds in (2, 5, 6):
        terms = Terms.of(demo.design_of(arguments(), tiny_checkpoint, smaller, rounds))
        path = tuple((0, 0, 4 * done) for done in range(1, rounds + 1))
        looks = evidence(path, 'non_inferior', terms, boundaries(terms, ('non_inferior',)))
        shown[rounds] = rejected_at(looks) > 0
    assert shown == {2: False, 5: False, 6: True}
