# SPDX-License-Identifier: Apache-2.0
"""What transformers only warns of is an error here."""

from pathlib import Path
import shutil
from types import SimpleNamespace

import pytest
from safetensors.torch import load_file, save_file
from transformers import PI0ForConditionalGeneration
from transformers.utils import logging

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.stock import no_progress_bars, open_strictly, uniform
from vla_drop_ros.manifest import WEIGHTS_FILE


def test_missing_and_unexpected_keys_are_errors(
        tiny_pair: tuple[Path, Path], tmp_path: Path) -> None:
    """The plain folder opens; with one tensor renamed it does not."""
    folder = Path(shutil.copytree(tiny_pair[0], tmp_path / 'copy'))
    assert open_strictly(PI0ForConditionalGeneration, folder).config.chunk_size == 4
    tensors = load_file(folder / WEIGHTS_FILE)
    tensors['model.dit.spare.weight'] = tensors.pop('model.dit.norm.weight')
    save_file(tensors, folder / WEIGHTS_FILE, metadata={'format': 'pt'})
    with pytest.raises(CheckpointError, match=r'missing keys.*dit\.norm.*unexpected keys.*spare'):
        open_strictly(PI0ForConditionalGeneration, folder)


def test_progress_bars_return() -> None:
    """They are quiet inside only."""
    shown = logging.is_progress_bar_enabled()
    with no_progress_bars():
        assert not logging.is_progress_bar_enabled()
    assert logging.is_progress_bar_enabled() == shown


@pytest.mark.parametrize(('sizes', 'expected'), [
    ([6, 6, 6], 6), ([6, 0, 6], 6), ([6, 5, 6], 8), ([0, 0], 8), ([], 8)])
def test_a_size_is_written_down_if_all_agree(sizes: list[int], expected: int) -> None:
    """Blocks without the part have no say; without agreement the old number stays."""
    config, journal = SimpleNamespace(width=8), Journal()
    uniform(config, 'width', sizes, journal)
    assert config.width == expected
    journal.undo()
    assert config.width == 8
