# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for removed parts where a model calls the parts of the parts, as lerobot does."""

from typing import Any

import torch
from torch import nn

from vla_drop_ros.families.reduced import StandIns, Zeros


class Nothing(nn.Module):
    """Add nothing where the MLP was: lerobot adds the residual stream in place."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return zeros of the same shape."""
        return torch.zeros_like(hidden_states)


class KeysValuesOnly(nn.Module):
    """What lerobot looks at of an attention whose queries and output are gone."""

    def __init__(self, attention: Any, keep_keys_values: bool) -> None:
        """Keep the key and value layers of an attention, or nothing but the shapes."""
        super().__init__()
        self.head_dim, self.layer_idx = attention.head_dim, attention.layer_idx
        for name in ('q_proj', 'k_proj', 'v_proj', 'o_proj'):
            layer = getattr(attention, name)
            kept = isinstance(layer, Zeros) or (keep_keys_values and name in ('k_proj', 'v_proj'))
            setattr(self, name, layer if kept else Zeros(layer.out_features, layer.weight.dtype))


class PiecewiseStandIns(StandIns):
    """What takes the place of a removed part where lerobot calls the parts of the parts."""

    def attention(self, attention: Any, keep_keys_values: bool) -> nn.Module:
        """Return what stands for attention whose queries and output are gone."""
        if hasattr(attention, 'o_proj'):  # the vision tower's is called whole, and has out_proj
            return KeysValuesOnly(attention, keep_keys_values)
        return super().attention(attention, keep_keys_values)

    def mlp(self, _mlp: Any) -> nn.Module:
        """Return what stands for a removed MLP."""
        return Nothing()
