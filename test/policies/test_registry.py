# SPDX-License-Identifier: Apache-2.0
"""The registry: the only door to a policy, and torch stays outside until one is asked for."""

from collections.abc import Callable
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest

from vla_drop_ros.errors import CheckpointError, MissingDependencyError
from vla_drop_ros.policies import registry


def test_reading_a_manifest_imports_no_torch() -> None:
    """A node can look at a checkpoint before it pays for torch."""
    code = ('import sys, vla_drop_ros.policies.registry; '
            'sys.exit("torch" in sys.modules or "transformers" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0


def test_vision_language_model_is_no_policy(
        write_tiny: Callable[..., Any], tmp_path: Path) -> None:
    """A checkpoint without action language is refused with the roles and families that work."""
    write_tiny(tmp_path / 'vlm', family='paligemma')
    with pytest.raises(CheckpointError, match='role vla'):
        registry.load_policy(tmp_path / 'vlm')


def test_missing_package_is_named(
        tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the family's packages the error says what to install."""
    monkeypatch.setattr(registry, '_LOADERS', {'pi0': 'not_a_module_anywhere:load'})
    with pytest.raises(MissingDependencyError, match='not_a_module_anywhere.*pip install'):
        registry.load_policy(tiny_checkpoint)


def test_register_adds_a_family(
        tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A loader is named as 'module:callable' and gets folder, device and threads."""
    monkeypatch.setattr(registry, '_LOADERS', {})
    registry.register('pi0', 'builtins:max')
    with pytest.raises(TypeError):
        registry.load_policy(tiny_checkpoint, 'cpu', 1)
