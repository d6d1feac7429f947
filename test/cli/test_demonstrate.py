# SPDX-License-Identifier: Apache-2.0
"""The verb demonstrate: successes of the expert as a dataset that the reference understands."""

from pathlib import Path

import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.dataset.reader import Dataset

pytest.importorskip('mujoco')


def test_episodes_fit_the_reference_policy(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Cameras, names and meaning of the actions are the reference's; every episode ended well."""
    from vla_drop_ros.bringup import find_checkpoint
    from vla_drop_ros.checkpoint import load_checkpoint
    from vla_drop_ros.policies.calibration import calibrate
    from vla_drop_ros.policies.registry import assemble_policy
    assert main(['demonstrate', '-o', str(tmp_path / 'set'), '--episodes', '2']) == 0
    assert '2 episodes' in capsys.readouterr().out
    dataset, folder = Dataset(tmp_path / 'set'), find_checkpoint('reference')
    model, manifest = load_checkpoint(folder)
    policy = assemble_policy(model, manifest, folder)
    found = calibrate(policy, dataset, 8)
    # The policy does nearly what the expert did: the loss is far below that of doing nothing.
    loss = policy.family.loss(policy.model, found.batches[0]).mean()
    assert loss < 0.5


@pytest.mark.parametrize(('more', 'message'), [
    (['--episodes', '0'], '--episodes 0: at least 1'),
    (['--variant', 'rain'], "unknown variant 'rain'; valid: "),
])
def test_bad_input_exits_with_2(
        more: list[str], message: str, tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written."""
    assert main(['demonstrate', '-o', str(tmp_path / 'set'), *more]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


def test_an_existing_folder_is_kept(
        tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Demonstrations are never overwritten."""
    (tmp_path / 'set').mkdir()
    assert main(['demonstrate', '-o', str(tmp_path / 'set'), '--episodes', '1']) == 2
    assert 'exists already' in capsys.readouterr().err
