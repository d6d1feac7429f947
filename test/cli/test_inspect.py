# SPDX-License-Identifier: Apache-2.0
"""The verb inspect: everything a person asks about a checkpoint, on one screen."""

from collections.abc import Callable
import json
from pathlib import Path
from typing import Any

import pytest

from vla_drop_ros.cli.main import main
from vla_drop_ros.manifest import checkpoint_hash, load_manifest, Manifest, write_manifest


def test_screen_names_stacks_sizes_and_language(
        tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks, sizes, units of action, cameras and the short hash are shown."""
    assert main(['inspect', str(tiny_checkpoint)]) == 0
    text = capsys.readouterr().out
    for expected in ('tiny-pi0', checkpoint_hash(tiny_checkpoint)[:12], 'vision', 'language',
                     'action', 'x y z gripper', 'delta in base_link', 'front 20x20',
                     'not measured', 'all hashes match'):
        assert expected in text


def test_lineage_reads_back_to_the_root(
        tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A dropped checkpoint shows what it lost and from whom."""
    parent = {'name': 'grown-up', 'sha256': 'ab' * 32, 'dropped': None, 'parent': None}
    dropped = {'language': {'mode': 'tied', 'kept': [0, 2, 3, 4], 'removed': [1]}}
    data = {**load_manifest(tiny_checkpoint).to_dict(), 'parent': parent, 'dropped': dropped,
            'quality': {'success': 0.93}}
    write_manifest(tiny_checkpoint, Manifest.from_dict(data))
    assert main(['inspect', str(tiny_checkpoint)]) == 0
    text = capsys.readouterr().out
    for expected in ('without language tied [1]', 'abababababab  grown-up', 'success: 0.93',
                     '[0, 2, 3, 4] (without', 'tied [1])'):
        assert expected in text


def test_json_is_the_manifest_and_more(
        tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Programs get the manifest, the identity and the depths."""
    assert main(['inspect', str(tiny_checkpoint), '--json']) == 0
    data = json.loads(capsys.readouterr().out)
    assert data['identity'] == checkpoint_hash(tiny_checkpoint)
    assert data['blocks'] == {'vision': 3, 'language': 4, 'action': 4}
    assert data['name'] == 'tiny-pi0'


def test_vlm_has_no_action_row(
        write_tiny: Callable[..., Any], tmp_path: Path,
        capsys: pytest.CaptureFixture[str]) -> None:
    """A vision-language model shows its two stacks and no action language."""
    write_tiny(tmp_path / 'vlm', family='paligemma')
    assert main(['inspect', str(tmp_path / 'vlm')]) == 0
    assert 'actions' not in capsys.readouterr().out


def test_damage_is_reported_with_exit_status_2(
        tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A damaged folder is not described as if it were whole."""
    (tiny_checkpoint / 'tokenizer.json').write_text('{}')
    assert main(['inspect', str(tiny_checkpoint)]) == 2
    assert 'tokenizer.json differs' in capsys.readouterr().err
