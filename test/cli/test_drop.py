# SPDX-License-Identifier: Apache-2.0
"""The verb drop: a smaller checkpoint, or one clear line why not."""

from dataclasses import replace
from pathlib import Path

import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.manifest import block_counts, verify
from vla_drop_ros.pruning.plan import Plan


def test_writes_the_smaller_checkpoint(
        tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks given on the command line are gone, and the size that is left is told."""
    output = tmp_path / 'smaller'
    assert main(['drop', str(tiny_checkpoint), '--language', '1,3', '--vision', '2',
                 '-o', str(output)]) == 0
    assert block_counts(output) == {'vision': 2, 'language': 2, 'action': 2}
    text = capsys.readouterr().out
    assert verify(output).short in text and 'parameters left' in text


@pytest.mark.parametrize(('arguments', 'message'), [
    (['--language', 'one'], '--language 1,3,5'),
    ([], 'nothing to drop'),
    (['--language', '9'], 'valid: 0 to 3'),
])
def test_bad_plans_exit_with_2(
        tiny_checkpoint: Path, tmp_path: Path, arguments: list[str], message: str,
        capsys: pytest.CaptureFixture[str]) -> None:
    """A plan that cannot be carried out writes nothing and says what would be valid."""
    output = tmp_path / 'smaller'
    assert main(['drop', str(tiny_checkpoint), *arguments, '-o', str(output)]) == 2
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_a_plan_file_is_carried_out_and_kept(
        tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It travels in the folder; a file for another checkpoint, or beside blocks, is refused."""
    plan = Plan({'language': {'keep-kv': (1,)}}, {'vision': {0: (3, 4)}})
    plan.save(tmp_path / 'plan.json')
    output = tmp_path / 'smaller'
    arguments = ['drop', str(tiny_checkpoint), str(tmp_path / 'plan.json')]
    assert main([*arguments, '-o', str(output)]) == 0
    text = capsys.readouterr().out
    assert 'language  4 blocks left, without keep-kv [1]' in text and '2 channels' in text
    assert 'cannot open it' in text
    assert Plan.load(output / 'plan.json').key() == plan.key()
    assert main([*arguments, '--language', '1', '-o', str(tmp_path / 'x')]) == 2
    assert 'not both' in capsys.readouterr().err
    replace(plan, checkpoint='ab' * 32).save(tmp_path / 'plan.json')
    assert main([*arguments, '-o', str(tmp_path / 'x')]) == 2
    assert 'abababababab' in capsys.readouterr().err


def test_modes_dead_compute_and_stock_loaders(
        tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The mode holds for what is named; what is dead is listed with its proof."""
    assert main(['drop', str(tiny_checkpoint), '--language', '1', '--mode', 'mlp', '--dead',
                 '-o', str(tmp_path / 'a')]) == 0
    text = capsys.readouterr().out
    assert 'without mlp [1]' in text and 'no action differs by one bit' in text
    assert main(['drop', str(tiny_checkpoint), '--dead', '--stock', '-o', str(tmp_path / 'b'),
                 ]) == 2
    assert 'stock' in capsys.readouterr().err and not (tmp_path / 'b').exists()
