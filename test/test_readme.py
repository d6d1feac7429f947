# SPDX-License-Identifier: Apache-2.0
"""Every command that README.md shows works: it is run here, or by the file that is named here.

The documents in docs/ may show long or site-specific runs; their commands are parsed, not run.
"""

from collections.abc import Iterator
import os
from pathlib import Path
import re
import shlex
import subprocess
import sys
from typing import NamedTuple

import pytest

from vla_drop_ros.bringup import GRAPHS
from vla_drop_ros.cli.main import available_verbs, build_parser

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / 'README.md'
BLOCK = re.compile(r'^```(bash|console)\n(.*?)^```', re.MULTILINE | re.DOTALL)

# Beginning of a command -> (file that runs it in CI, words that show so). These take minutes,
# do not end by themselves, or start another machine's set-up.
RUN_ELSEWHERE = {
    'make test': ('.ci/run', 'make test'),
    'make demo': ('Makefile', 'vla_drop demo --quick'),
    'make': ('Makefile', 'help:'),
    'colcon build': ('test/e2e/test_colcon_install.py', 'build'),
    'vla_drop demo': ('Makefile', 'vla_drop demo --quick'),
    'vla_drop top': ('test/cli/test_top.py', ''),
    'vla_drop up': ('test/e2e/test_pick_place.py', 'pick_place'),
    'vla_drop reference train': ('test/reference', ''),
    'vla_drop trials report': ('test/cli/test_trials_report.py', 'report'),
}
# What a shell does before, and what only a sourced ROS 2 has; the latter is checked by name.
SHELL = ('git clone ', 'cd ', '. ', 'source ', 'export ', 'sudo apt-get ', 'rosdep ')


class Command(NamedTuple):
    """One command line of a document."""

    document: str
    text: str


def commands(document: Path) -> Iterator[Command]:
    """Yield the commands of the bash blocks, and the lines after ``$ `` of the console blocks."""
    if not document.exists():
        return
    for kind, body in BLOCK.findall(document.read_text(encoding='utf-8')):
        for line in body.replace('\\\n', ' ').splitlines():
            if kind == 'console' and not line.startswith('$ '):
                continue
            text = re.split(r'\s#\s', ' ' + line.removeprefix('$ '))[0].strip()
            yield from (Command(document.name, part.strip())
                        for part in text.split('&&') if part.strip())


def runs_elsewhere(text: str) -> str | None:
    """Return the key of the table that a command begins with, the longest first."""
    words = text.split()
    for key in sorted(RUN_ELSEWHERE, key=len, reverse=True):
        if words[:len(key.split())] == key.split():
            return key
    return None


IN_README = list(dict.fromkeys(commands(README)))
IN_DOCS = [command for path in sorted((ROOT / 'docs').glob('**/*.md'))
           for command in dict.fromkeys(commands(path))]
RUN_HERE = [command.text for command in IN_README
            if command.text.startswith('vla_drop ') and not runs_elsewhere(command.text)]
PARSED = [command for command in IN_README + IN_DOCS if command.text.startswith('vla_drop ')]
ROS2 = [command for command in IN_README + IN_DOCS if command.text.startswith('ros2 ')]


def test_readme_shows_the_two_commands() -> None:
    """A newcomer finds how to see it work and how to test it."""
    shown = {command.text for command in IN_README}
    assert {'make demo', 'make test'} <= shown


def test_every_command_is_accounted_for() -> None:
    """No command of the README is left that nothing runs or checks."""
    left = [command.text for command in IN_README
            if not command.text.startswith(('vla_drop ', 'ros2 ', *SHELL))
            and not runs_elsewhere(command.text)]
    assert not left


@pytest.mark.parametrize('key', sorted({key for command in IN_README
                                        if (key := runs_elsewhere(command.text))}))
def test_the_named_file_runs_it(key: str) -> None:
    """The table of commands that are run elsewhere tells the truth."""
    name, words = RUN_ELSEWHERE[key]
    path = ROOT / name
    assert path.exists()
    assert path.is_dir() or words in path.read_text(encoding='utf-8')


def test_make_targets_exist() -> None:
    """A target that a document names is one of the Makefile."""
    targets = set(re.findall(r'^([a-z]+):', (ROOT / 'Makefile').read_text(), re.MULTILINE))
    named = {word for command in IN_README + IN_DOCS if command.text.startswith('make ')
             for word in command.text.split()[1:] if '=' not in word}
    assert named <= targets


@pytest.mark.parametrize('command', PARSED, ids=lambda command: command.text)
def test_arguments_are_understood(command: Command) -> None:
    """The verb exists and takes the arguments that the document gives it."""
    words = shlex.split(command.text)[1:]
    verb = next((word for word in words if not word.startswith('-')), None)
    assert verb is None or verb in available_verbs()
    try:
        build_parser(verb).parse_args(words)
    except SystemExit as end:  # --help and --version end well
        assert end.code in (0, None), command


@pytest.mark.parametrize('command', ROS2, ids=lambda command: command.text)
def test_ros2_commands_name_what_exists(command: Command) -> None:
    """A launch file is there and declares the arguments; an executable is one of ours."""
    words = shlex.split(command.text)
    assert words[1] in {'bag', 'launch', 'lifecycle', 'node', 'param', 'run', 'service', 'topic'}
    if words[1] == 'launch' and words[2] == 'vla_drop_ros':
        assert (ROOT / 'launch' / words[3]).is_file()
        known = {argument.name for argument in GRAPHS[words[3].split('.')[0]].arguments}
        given = {word.split(':=')[0] for word in words[4:] if ':=' in word}
        assert given <= known
    if words[1] == 'run' and words[2] == 'vla_drop_ros':
        assert words[3] == 'vla_drop' or (ROOT / f'vla_drop_ros/nodes/{words[3]}.py').is_file()


@pytest.fixture(scope='module')
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that looks like a clone; what the commands write stays in it."""
    folder = tmp_path_factory.mktemp('clone')
    for path in ROOT.iterdir():
        if path.name not in ('output', 'runs') and not path.name.startswith('.'):
            (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize('text', RUN_HERE)
def test_commands_run(desk: Path, text: str) -> None:
    """In the order of the README, a command may use what an earlier one wrote."""
    words = [sys.executable, '-m', 'vla_drop_ros', *shlex.split(text)[1:]]
    environment = {**os.environ, 'OMP_NUM_THREADS': '2', 'PYTHONPATH': str(ROOT)}
    result = subprocess.run(words, cwd=desk, env=environment, stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
