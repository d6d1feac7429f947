# SPDX-License-Identifier: Apache-2.0
"""The verb drop: a smaller checkpoint, or one clear line why not."""

from pathlib import Path

import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.manifest import block_counts, verify


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
