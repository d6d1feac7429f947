# SPDX-License-Identifier: Apache-2.0
"""Manners of transformers: quiet where it draws bars, strict where it only warns."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.families.journal import Journal


@contextmanager
def no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing bars for what takes a moment."""
    from transformers.utils import logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def open_strictly(model_class: Any, folder: Path) -> Any:
    """Open a folder with ``from_pretrained``; CheckpointError for what it only warns of."""
    with no_progress_bars():
        model, report = model_class.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32,
            output_loading_info=True)
    problems = [f'{kind.replace("_", " ")}: {sorted(map(str, keys))}'
                for kind, keys in report.items() if keys]
    if problems:
        raise CheckpointError(
            f'{str(folder)!r} does not fit {model_class.__name__}: {"; ".join(problems)}')
    return model.eval()


def uniform(config: Any, name: str, sizes: Sequence[int], journal: Journal) -> None:
    """Write a size into the configuration if all blocks that have any agree on it."""
    distinct = set(sizes) - {0}
    if len(distinct) == 1 and getattr(config, name) not in distinct:
        journal.set(config, name, distinct.pop())
