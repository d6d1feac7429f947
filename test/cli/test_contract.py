# SPDX-License-Identifier: Apache-2.0
"""The verb contract: faults and fixes a line each, and an exit status for scripts."""

from dataclasses import replace
import json
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

from vla_drop_ros.bringup import find_contract
from vla_drop_ros.cli.main import main
from vla_drop_ros.contract_file import load_contract
from vla_drop_ros.contract_schema import markdown_table, schema_text
from vla_drop_ros.manifest import load_manifest, write_manifest

ROOT = Path(__file__).parents[2]
SHIPPED = sorted(path.stem for path in (ROOT / 'config' / 'robots').glob('*.yaml'))


@pytest.fixture(name='broken')
def _broken(tmp_path: Path) -> Path:
    """Return a contract with two faults."""
    text = find_contract('ur_servo').read_text(encoding='utf-8')
    path = tmp_path / 'broken.yaml'
    path.write_text(text.replace('dead_man:', 'deadman:').replace(
        'linear_velocity: 0.25', 'linear_velocity: 250'), encoding='utf-8')
    return path


@pytest.mark.parametrize('name', SHIPPED)
def test_shipped_contracts_pass(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every shipped contract is checked with status 0, and can be told in words."""
    assert main(['contract', 'check', name]) == 0
    assert '0 fault(s)' in capsys.readouterr().out
    assert main(['contract', 'show', name]) == 0
    said = capsys.readouterr().out
    contract = load_contract(find_contract(name))
    for expected in (contract.robot, contract.command.topic, f'{contract.dead_man:g} s', ' Hz',
                     *(stream.topic for stream in contract.cameras.values())):
        assert expected in said


def test_faults_have_line_key_and_fix(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Status 1, one line a fault, with its line in the file and what was meant."""
    assert main(['contract', 'check', str(broken)]) == 1
    said = capsys.readouterr().out
    assert 'FAULT   limits.linear_velocity: line ' in said and 'is this in mm?' in said
    assert 'deadman: ' in said and 'did you mean dead_man?' in said
    assert '3 fault(s)' in said


def test_findings_for_programs(broken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json the findings are data, and the status is the same."""
    assert main(['contract', 'check', str(broken), '--json']) == 1
    data = json.loads(capsys.readouterr().out)
    assert data['ok'] is False
    assert {'dead_man', 'deadman', 'limits.linear_velocity'} == {
        one['name'] for one in data['findings'] if one['level'] == 'fault'}


def test_bad_input_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is absent or no YAML, and an absent checkpoint, are named."""
    path = tmp_path / 'no.yaml'
    path.write_text('a: [', encoding='utf-8')
    assert main(['contract', 'check', str(tmp_path / 'absent.yaml')]) == 2
    assert main(['contract', 'check', str(path)]) == 2
    assert main(['contract', 'check', 'simulated_arm', '--checkpoint', 'absent']) == 2
    assert 'absent' in capsys.readouterr().err


def test_a_checkpoint_is_checked(
        tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A fitting checkpoint passes; of another, each camera, state and frame is told."""
    assert main(['contract', 'check', 'simulated_arm', '--checkpoint', str(tiny_checkpoint)]) == 0
    assert 'fits: x y z gripper' in capsys.readouterr().out
    other = tmp_path / 'other'
    shutil.copytree(tiny_checkpoint, other)
    manifest = load_manifest(other)
    assert manifest.action_spec is not None
    camera = next(iter(manifest.cameras.values()))
    write_manifest(other, replace(
        manifest, cameras={**manifest.cameras, 'left': camera, 'right': camera},
        state_names=(*manifest.state_names, 'ee.w'),
        action_spec=replace(manifest.action_spec, frame='tool0')))
    assert main(['contract', 'check', 'simulated_arm', '--checkpoint', str(other)]) == 1
    said = capsys.readouterr().out
    for expected in ("'tool0'", "'left'", "'right'", "'ee.w'", '4 fault(s)'):
        assert expected in said


def test_statistics_in_another_unit_show(
        tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A gripper that was trained on 0 to 1 is outside of the width in m, and named."""
    other = tmp_path / 'other'
    shutil.copytree(tiny_checkpoint, other)
    (other / 'normalization.json').write_text(json.dumps(
        {'action': {'mean': [0, 0, 0, 0.6], 'std': [1, 1, 1, 1]}}), encoding='utf-8')
    assert main(['contract', 'check', 'simulated_arm', '--checkpoint', str(other)]) == 1
    assert 'it must be the width in m, not 0 to 1' in capsys.readouterr().out


def test_schema_and_table_are_printed(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The schema and the reference table go to the screen, or to a file, as they are shipped."""
    assert main(['contract', 'schema']) == 0
    assert capsys.readouterr().out == schema_text()
    assert main(['contract', 'schema', '--markdown']) == 0
    assert capsys.readouterr().out == markdown_table()
    assert main(['contract', 'schema', '-o', str(tmp_path / 'schema.json')]) == 0
    assert (tmp_path / 'schema.json').read_text(encoding='utf-8') == schema_text()


def test_convert_writes_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was taken and what is missing is said; a file that is there is not overwritten."""
    source, target = tmp_path / 'rosetta.yaml', tmp_path / 'mine.yaml'
    source.write_text('robot_type: a\nfps: 10\nobservations: {}\nactions: {action: {channel: '
                      '{topic: /go, type: trajectory_msgs/msg/JointTrajectory}, '
                      'select: [position.hip]}}', encoding='utf-8')
    words = ['contract', 'convert', str(source), '-o', str(target)]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert 'command.topic: /go' in said and 'limits.joints.hip.velocity' in said
    assert main(words) == 2
    assert main([*words, '--force']) == 0
    assert main(['contract', 'check', str(target)]) == 1
    assert 'still TODO' in capsys.readouterr().out


def test_files_are_checked_without_ros_and_torch() -> None:
    """A desk without ROS and torch checks files; --live says what is missing."""
    code = (
        'import sys\n'
        'class Hide:\n'
        '    def find_spec(self, name, path=None, target=None):\n'
        "        if name.split('.')[0] in ('rclpy', 'torch', 'transformers'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        'sys.meta_path.insert(0, Hide())\n'
        'from vla_drop_ros.cli.main import main\n'
        "assert main(['contract', 'check', 'simulated_arm', '--checkpoint', 'reference']) == 0\n"
        "sys.exit(main(['contract', 'check', 'simulated_arm', '--live']))")
    result = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True,
                            timeout=120)
    assert result.returncode == 2, result.stderr
    assert '--live needs rclpy' in result.stderr


@pytest.mark.ros
def test_an_empty_graph_has_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    """With --live and nothing running, each stream and the controller are named; status 1."""
    pytest.importorskip('rclpy')
    from vla_drop_ros.preflight import private_domain
    with private_domain():
        status = main(['contract', 'check', 'franka_cartesian', '--live', '--seconds', '0.5'])
    said = capsys.readouterr().out
    assert status == 1
    for key in ('cameras.front', 'cameras.wrist', 'state.pose', 'state.joints', 'command.topic',
                'command.gripper.topic'):
        assert f'FAULT   {key}: ' in said
