# SPDX-License-Identifier: Apache-2.0
"""The parameter ``checkpoint`` takes what the launch argument takes: a folder, or a name."""

from pathlib import Path

import pytest

from vla_drop_ros.bringup import find_checkpoint
from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.nodes.policy_settings import PolicyParameters
from vla_drop_ros.nodes.policy_supply import PolicySupply

pytestmark = pytest.mark.ros


@pytest.mark.slow
def test_a_name_in_models_is_the_folder_of_that_name() -> None:
    """Both are admitted, and load the same."""
    supply = PolicySupply(PolicyParameters(device='cpu'))
    supply.check('reference-two')
    by_name = supply.load('reference-two')
    by_path = supply.load(str(find_checkpoint('reference-two')))
    assert by_name.checkpoint == by_path.checkpoint and supply.usage[0] == 1
    by_name.close()
    by_path.close()
    supply.close()


def test_what_is_neither_is_refused_with_the_names(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A word lists what there is; a path is said to be absent; a folder here goes first."""
    supply = PolicySupply(PolicyParameters(device='cpu'))
    with pytest.raises(CheckpointError, match='refrence.*reference'):
        supply.check('refrence')
    with pytest.raises(CheckpointError, match='does not exist'):
        supply.check(str(tmp_path / 'none'))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'reference').mkdir()
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        supply.check('reference')
