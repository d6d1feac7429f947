# SPDX-License-Identifier: Apache-2.0
"""Run a model that is larger than memory: every layer is read from disk when it is needed.

A layer's weights are loaded before its forward and freed behind it, by the hooks of accelerate,
straight from the safetensors files of the checkpoint. Good for what needs no gradient.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from accelerate.hooks import attach_align_device_hook
import torch

from vla_drop_ros.checkpoint import empty_model
from vla_drop_ros.families.registry import family
from vla_drop_ros.manifest import load_manifest
from vla_drop_ros.weights import Weights

# Criteria that look at weights or at activations, never at gradients.
STREAMED = ('magnitude', 'divergence', 'divergence-relative', 'divergence-controlled', 'cka',
            'block-influence', 'angular', 'random', 'uniform', 'keep-first', 'endpoints')


class _OnDemand(Mapping[str, torch.Tensor]):
    """The tensors of a checkpoint by parameter, as float32 copies that nobody keeps."""

    def __init__(self, weights: Weights, tied: Mapping[str, str], dtype: torch.dtype) -> None:
        self._weights, self._tied, self._dtype = weights, tied, dtype

    def __getitem__(self, name: str) -> torch.Tensor:
        tensor = self._weights[self._tied.get(name, name) if name not in self._weights else name]
        return tensor.to(self._dtype, copy=True) if tensor.is_floating_point() else tensor.clone()

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._weights, *self._tied)))

    def __len__(self) -> int:
        return len({*self._weights, *self._tied})


def streamed_model(folder: str | Path, dtype: torch.dtype = torch.float32) -> Any:
    """Return the model of a checkpoint folder with its weights left on disk.

    Args:
        folder: checkpoint; its hashes are the caller's business.
        dtype: in which layers compute.

    """
    folder = Path(folder)
    manifest = load_manifest(folder)
    found = family(manifest.family)
    model = empty_model(folder, manifest.family, manifest.structure)
    weights = Weights(folder, found.module_name)
    attach_align_device_hook(
        model, execution_device=torch.device('cpu'), offload=True,
        weights_map=_OnDemand(weights, found.tied(model), dtype))
    return model.eval()
