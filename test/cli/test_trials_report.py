# SPDX-License-Identifier: Apache-2.0
"""`vla_drop trials report FOLDER` writes the report, blinded until the study has ended."""

from hashlib import sha256
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
import sys
from types import ModuleType
from typing import Any

import pytest

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.cli import main as cli
from vla_drop_ros.cli.trials_report import facts_of
from vla_drop_ros.manifest import load_manifest
from vla_drop_ros.trials.design import StudyArm


@pytest.fixture(scope='module', name='studies')
def _studies() -> ModuleType:
    """Return the module that simulates studies."""
    path = Path(__file__).parents[1] / 'report' / 'simulated_study.py'
    spec = spec_from_file_location('simulated_study', path)
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Run the command; return its status and what it said."""
    status = cli.main(['trials', 'report', *map(str, words)])
    said: Any = capsys.readouterr()
    return status, said.out, said.err


def test_a_finished_study_is_opened(studies: ModuleType, tmp_path: Path,
                                    capsys: pytest.CaptureFixture[str]) -> None:
    """The verdict is printed, and the page is where it says."""
    folder = studies.simulate(tmp_path / 'study', data=studies.design_data(horizon=12))
    status, out, _ = run(capsys, folder, '--who', 'P1')
    assert status == 0 and 'points' in out and 'the opening is in the log' in out
    page = Path(out.rpartition('report: ')[2].strip())
    assert page == folder / 'report' / 'report.html' and page.exists()


def test_an_unfinished_study_is_blinded_until_asked(
        studies: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without --unblind no arm is in what is printed or written; with it, the log says who."""
    folder = studies.simulate(tmp_path / 'study', studies.World({'whole9': 0.9, 'lean9': 0.9}),
                              studies.design_data(('whole9', 'lean9'), horizon=12), trials=7)
    status, out, _ = run(capsys, folder)
    assert status == 0 and 'NOT ended' in out and 'blinded' in out
    written = ''.join(path.read_text() for path in (folder / 'report').glob('*.*'))
    assert 'lean9' not in out + written and '"unblinded"' not in (
        folder / 'log.jsonl').read_text()
    status, out, _ = run(capsys, folder, '--unblind', '--who', 'P1', '-o', tmp_path / 'open')
    assert status == 0 and 'opened early, 9 pairs before its horizon' in out
    assert 'lean9' in (tmp_path / 'open' / 'report.html').read_text()
    assert '"who": "P1", "ended": false' in (folder / 'log.jsonl').read_text()


def test_a_folder_without_a_study_is_refused(tmp_path: Path,
                                             capsys: pytest.CaptureFixture[str]) -> None:
    """One clear line says how to make one."""
    status, _, err = run(capsys, tmp_path)
    assert status == 2 and 'trials plan' in err


def test_facts_are_of_the_checkpoint_that_was_tried() -> None:
    """Another checkpoint of the same name, or none, gives no facts but a reason."""
    other = facts_of(StudyArm('half', 'reference-half', sha256(b'').hexdigest()))
    gone = facts_of(StudyArm('half', 'no-such-checkpoint', sha256(b'').hexdigest()))
    manifest = load_manifest(find_checkpoint('reference-half'))
    tried = facts_of(StudyArm('half', 'reference-half', manifest.identity))
    assert tried.memory == 4 * tried.parameters == 4 * sum(manifest.parameters.values()) > 1e6
    assert tried.blocks == 'vision 6, language 8 (4 only their keys and values), action 8'
    assert not other.parameters and 'another one' in other.note
    assert not gone.parameters and 'not on this machine' in gone.note
