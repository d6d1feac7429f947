# SPDX-License-Identifier: Apache-2.0
"""The benchmark of streaming scores shards that it wrote, in a process whose peak it reads."""

from pathlib import Path
import runpy
from typing import Any

import pytest
from safetensors import safe_open
import torch
import transformers

BENCH = runpy.run_path(str(Path(__file__).resolve().parents[2] / 'bench/streaming.py'))


@pytest.fixture
def config(tiny_model: Any) -> Any:
    """Return the configuration of the tiny policy."""
    return tiny_model().config


def test_shards_are_scored(config: Any, tmp_path: Path) -> None:
    """All parameters are written, in several files, and both criteria score all blocks."""
    policy = BENCH['empty'](config)
    assert all(parameter.is_meta for parameter in policy.parameters())
    count = BENCH['write'](tmp_path / 'policy', policy, 1, limit=20_000)
    BENCH['write'](tmp_path / 'base', BENCH['empty'](config.vlm_config), 2, limit=20_000)
    files = sorted((tmp_path / 'policy').glob('*.safetensors'))
    assert len(files) > 2 and sum(path.stat().st_size for path in files) > 2 * count
    with safe_open(files[0], 'pt') as file:
        assert all(file.get_tensor(key).dtype == torch.bfloat16 for key in file.keys())  # noqa: SIM118
    found = BENCH['score'](tmp_path / 'policy', tmp_path / 'base', config)
    assert set(found) == {'magnitude [s]', 'divergence [s]', 'peak [GB]'}


def test_the_peak_is_of_this_process() -> None:
    """What is held shows, in gigabytes."""
    before = BENCH['peak']()
    held = torch.ones(10**8)  # 0.4 GB
    assert BENCH['peak']() >= before and BENCH['peak']() > 0.4
    assert held.numel() == 10**8


def test_the_full_size_is_pi0_s() -> None:
    """3.5 billion parameters with 18 blocks, as many fewer as asked for."""
    sizes = [sum(parameter.numel() for parameter in BENCH['empty'](
        BENCH['configuration'](layers)).parameters()) for layers in (18, 2)]
    assert sizes[0] > 3.4e9 and sizes[1] < 1.5e9
    assert BENCH['configuration'](2).model_type == transformers.PI0Config.model_type
