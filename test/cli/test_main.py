# SPDX-License-Identifier: Apache-2.0
"""The command line finds its verbs lazily, documents each, and reports errors in one line."""

import os
from pathlib import Path
import subprocess
import sys

import pytest

from vla_drop_ros.cli import main as cli
from vla_drop_ros.errors import TaskError

ROOT = Path(__file__).resolve().parent.parent.parent


def test_help_needs_neither_torch_nor_ros() -> None:
    """`vla_drop --help` imports nothing heavy, so it works anywhere, at once."""
    code = ('import sys\n'
            "sys.modules.update(dict.fromkeys(['torch', 'rclpy', 'mujoco', 'numpy']))\n"
            "from vla_drop_ros.cli.main import main\nmain(['--help'])")
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          env={**os.environ, 'PYTHONPATH': str(ROOT)}, check=False)
    assert done.returncode == 0, done.stderr
    assert 'vla_drop doctor' in done.stdout


def test_every_verb_file_is_in_the_table() -> None:
    """A verb file that the table forgets would be invisible; trials_data belongs to trials."""
    files = {path.stem.partition('_')[0] or path.stem
             for path in (ROOT / 'vla_drop_ros' / 'cli').glob('*.py')}
    assert files - {'__init__', 'main'} <= set(cli.VERBS)


@pytest.mark.parametrize('verb', cli.available_verbs())
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every verb has a docstring, arguments with help, and `--help` that works."""
    module = cli.load_verb(verb)
    assert module.__doc__
    with pytest.raises(SystemExit) as end:
        cli.main([verb, '--help'])
    assert end.value.code == 0
    assert f'vla_drop {verb}' in capsys.readouterr().out


def test_absent_verbs_are_not_listed(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A verb whose module is not installed is neither in the help nor accepted."""
    monkeypatch.setitem(cli.VERBS, 'no_such_verb', 'something')
    assert 'no_such_verb' not in cli.available_verbs()
    assert cli.main(['no_such_verb']) == cli.BAD_INPUT
    assert 'unknown verb' in capsys.readouterr().err


def test_errors_are_one_line_without_traceback(
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a user can mend is said in one line on stderr, with exit status 2."""
    class Verb:
        """Fails as a user sees it."""

        @staticmethod
        def add_arguments(parser: object) -> None:
            """Add nothing."""

        @staticmethod
        def main(args: object) -> int:
            """Fail."""
            raise TaskError('unknown task')

    monkeypatch.setattr(cli, 'load_verb', lambda verb: Verb)
    assert cli.main(['doctor']) == cli.BAD_INPUT
    assert capsys.readouterr().err == 'error: unknown task\n'


def test_no_verb_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a verb the help is shown and the status says that nothing was done."""
    assert cli.main([]) == cli.BAD_INPUT
    assert 'examples:' in capsys.readouterr().out


def test_a_place_that_cannot_be_written_is_named(
        tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line with the path instead of a traceback."""
    assert cli.main(['drop', str(tiny_checkpoint), '--language', '1', '-o', '/proc/x']) == 2
    error = capsys.readouterr().err
    assert error.startswith('error: ') and '/proc/' in error and error.count('\n') == 1
