# SPDX-License-Identifier: Apache-2.0
"""The demo fits its time, destroys nothing of the user's, and its page shows what was run."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
import pytest

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.cli import demo
from vla_drop_ros.cli.main import main
from vla_drop_ros.errors import PlanError, VlaDropError
from vla_drop_ros.manifest import checkpoint_hash, load_manifest
from vla_drop_ros.trials.episode import Arm, Episode, Latency, Outcome, schedule, Study
from vla_drop_ros.trials.log import open_study, read_log
from vla_drop_ros.trials.recording import FrameRecorder


def arguments(*words: str) -> argparse.Namespace:
    """Return the parsed arguments of the demo."""
    parser = argparse.ArgumentParser()
    demo.add_arguments(parser)
    return parser.parse_args(words)


@pytest.mark.parametrize('minutes', [2.0, 5.0, 10.0])
def test_scenes_fit_even_if_nothing_succeeds(minutes: float) -> None:
    """The number of scenes is the largest whose worst case fits into the time."""
    scenes = demo.scenes_that_fit(arguments('--minutes', str(minutes)))
    worst = [demo.START + 2 * n * (demo.TIMEOUT + demo.BETWEEN) for n in (scenes, scenes + 1)]
    assert worst[0] <= 60 * minutes < worst[1]


def test_scenes_as_asked() -> None:
    """--episodes and --quick win over the time; none at all is refused."""
    assert demo.scenes_that_fit(arguments('--episodes', '20')) == 20
    assert demo.scenes_that_fit(arguments('--quick')) == 2
    assert demo.scenes_that_fit(arguments('--minutes', '0.1')) == 1
    with pytest.raises(VlaDropError, match='at least 1'):
        demo.scenes_that_fit(arguments('--episodes', '0'))


def test_output_of_an_earlier_demo_is_replaced(tmp_path: Path) -> None:
    """What a demo wrote goes; a folder with anything else in it is left alone."""
    folder = tmp_path / 'out'
    demo.clear_output(folder)
    (folder / demo.LOG).write_text('old')
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
    (tmp_path / demo.LOG).write_text('old')
    assert main(['demo', '--checkpoint', 'absent', '-o', str(tmp_path)]) == 2
    assert 'absent' in capsys.readouterr().err
    assert (tmp_path / demo.LOG).read_text() == 'old'


@pytest.fixture
def finished(tmp_path: Path, tiny_checkpoint: Path) -> Path:
    """Return the folder of a demo whose nodes have run, with a smaller tiny checkpoint."""
    output = tmp_path / 'out'
    demo.clear_output(output)
    smaller = demo.make_candidate(
        arguments('-o', str(output), '--checkpoint', str(tiny_checkpoint)), tiny_checkpoint)
    study = Study(tuple(Arm(name, str(path), checkpoint_hash(path)) for name, path in
                        (('baseline', tiny_checkpoint), ('pruned', smaller))),
                  episodes=3, seed=100, task='', variant='nominal', timeout=12.0,
                  tool_version='0.1.0')
    recorder = FrameRecorder(output / demo.FRAMES)
    log, _ = open_study(output / demo.LOG, study)
    with log:
        for slot in schedule(study):
            outcome: Outcome = 'timeout' if slot.arm == 'pruned' or slot.pair == 0 else 'success'
            name = f'{slot.pair}-{slot.arm}.npz'
            recorder.begin(name)
            for step in range(4):
                recorder.add(step * 0.1, np.full((60, 80, 3), 40 * slot.pair, np.uint8))
            recorder.end()
            arm = study.arms[0 if slot.arm == 'baseline' else 1]
            log.append('episode', Episode(
                slot=slot, attempt=0, task='left_bin', instruction='put it there',
                variant='nominal', checkpoint=arm.path, checkpoint_hash=arm.hash,
                outcome=outcome, reason='', detail='', started=1.0, duration=0.3,
                moved_object=None, latency=Latency.of([0.1]), frames=name).to_dict())
    return output


def test_results_are_written_and_raw_frames_go(finished: Path) -> None:
    """Page, plot and animation are there; the page has hashes, counts, seeds and limits."""
    demo.write_results(arguments('-o', str(finished)), read_log(finished / demo.LOG))
    assert not (finished / demo.FRAMES).exists()
    page = (finished / demo.PAGE).read_text()
    study = read_log(finished / demo.LOG).study
    expected: list[Any] = [arm.hash for arm in study.arms]
    expected += ['2 of 3', '0 of 3', 'What this does not show', 'vision [1, 2]',
                 'vla_drop demo --episodes 3 --seed 100', 'data:image/gif', 'data:image/png']
    assert [text for text in expected if text not in page] == []


def test_the_animation_shows_a_scene_that_the_baseline_solved(finished: Path) -> None:
    """Scene 0 was not solved, so scene 1 is shown, and its caption says which it is."""
    films = demo.write_film(finished, read_log(finished / demo.LOG).episodes)
    assert 'Scene 101' in films[finished / demo.FILM]
    with Image.open(finished / demo.FILM) as film:
        shown = np.asarray(film.convert('RGB'))
    assert shown.shape[1] >= 160
    assert abs(int(shown[shown.shape[0] // 2, 10, 0]) - 40) < 8


def test_beside_the_shipped_baseline_stands_the_recovered_one() -> None:
    """Without other wishes it is the shipped checkpoint, and the page says how it was trained."""
    candidate = demo.make_candidate(arguments(), find_checkpoint('reference'))
    manifest = load_manifest(candidate)
    assert manifest.name == demo.RECOVERED and manifest.recovery is not None
    removed = demo.lost_blocks((manifest.parent or {})['dropped'])
    assert removed == {'language': [1, 3, 5, 7]}
    assert 'lacks the blocks language [1, 3, 5, 7]; afterwards it was trained on' in ' '.join(
        demo.limits(removed, 8, manifest.recovery))


def test_the_candidate_is_smaller_and_says_so(finished: Path) -> None:
    """The copy made on the spot has fewer parameters, and a manifest that names its parent."""
    manifest = load_manifest(finished / demo.SMALLER)
    parent = load_manifest(read_log(finished / demo.LOG).study.arms[0].path)
    assert sum(manifest.parameters.values()) < sum(parent.parameters.values())
    assert manifest.name == 'tiny-pruned'
