# SPDX-License-Identifier: Apache-2.0
"""The verb recover: every number of the recipe is an option; bad ones end with 2 and no trace."""

from pathlib import Path

import pytest

from vla_drop_ros.cli import recover
from vla_drop_ros.cli.main import build_parser, main
from vla_drop_ros.manifest import load_manifest
from vla_drop_ros.recovery.recipe import Recipe

pytest.importorskip('torch')


def test_it_recovers_and_tells(tiny_checkpoint: Path, tiny_dataset: Path, tmp_path: Path,
                               capsys: pytest.CaptureFixture[str]) -> None:
    """Losses by step and the identity of what was written; options reach the recipe."""
    out = tmp_path / 'out'
    assert main(['recover', str(tiny_checkpoint), '--data', str(tiny_dataset), '-o', str(out),
                 '--steps', '4', '--batch-size', '4', '--every', '2', '--freeze', 'vision',
                 '--seed', '7', '--device', 'cpu', '--name', 'again']) == 0
    text, manifest = capsys.readouterr().out, load_manifest(out)
    assert 'step      2' in text and 'held_out_loss' in text and manifest.short in text
    recipe = dict(manifest.recovery or {})['recipe']
    assert (recipe['seed'], recipe['freeze'], recipe['steps']) == (7, ['vision'], 4)
    assert manifest.name == 'again'
    assert main(['inspect', str(out)]) == 0
    shown = ' '.join(capsys.readouterr().out.split())
    assert 'frames of 5 episodes' in shown and 'step 4' in shown and 'batch_size 4' in shown


def test_steps_can_match_the_whole_models_cost(
        tiny_checkpoint: Path, tiny_dataset: Path, tmp_path: Path) -> None:
    """--match-flops gives a smaller model more steps."""
    half = tmp_path / 'half'
    assert main(['drop', str(tiny_checkpoint), '--language', '1,2', '-o', str(half)]) == 0
    assert main(['recover', str(half), '--data', str(tiny_dataset), '-o', str(tmp_path / 'out'),
                 '--steps', '4', '--batch-size', '2', '--device', 'cpu',
                 '--match-flops', str(tiny_checkpoint)]) == 0
    recipe = dict(load_manifest(tmp_path / 'out').recovery or {})['recipe']
    assert recipe['steps'] > 4


def test_every_number_of_the_recipe_is_an_option() -> None:
    """None is missing, each has a help text, and the defaults are the recipe's."""
    assert set(recover.HELP) == set(Recipe().to_dict())
    args = build_parser('recover').parse_args(['recover', 'x', '--data', 'y', '-o', 'z'])
    assert recover._recipe(args) == Recipe()


@pytest.mark.parametrize(('more', 'message'), [
    (['--steps', '0'], 'steps is 0, it must be at least 1'),
    (['--method', 'lore'], "unknown method 'lore'"),
    (['--every', '0'], '--every must be at least 1'),
    (['--distill-actions', '1'], 'give --parent'),
    (['--freeze', 'tongue'], 'tongue'),
    (['--data', 'nowhere'], "'nowhere' is no LeRobot dataset"),
])
def test_bad_input_exits_with_2(
        more: list[str], message: str, tiny_checkpoint: Path, tiny_dataset: Path, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written."""
    out = tmp_path / 'out'
    assert main(['recover', str(tiny_checkpoint), '--data', str(tiny_dataset), '-o', str(out),
                 '--device', 'cpu', *more]) == 2
    assert message in capsys.readouterr().err and not out.exists()
