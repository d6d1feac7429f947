# SPDX-License-Identifier: Apache-2.0
"""What stands where a part of a block was removed: no parameters, the same interface."""

import sys
from typing import Any

import torch
from torch import nn


class NoAttention(nn.Module):
    """Add nothing where attention was: ``h + 0``."""

    def forward(self, hidden_states: torch.Tensor, *_: Any, **__: Any,
                ) -> tuple[torch.Tensor, None]:
        """Return a zero of no dimension, which adds to any shape, and no weights."""
        return hidden_states.new_zeros(()), None


class NoMlp(nn.Module):
    """Add nothing where the MLP was."""

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return a zero of no dimension."""
        return hidden_states.new_zeros(())


class Zeros(nn.Module):
    """Stand for a linear layer whose output no longer matters, where its shape still does."""

    def __init__(self, width: int, dtype: torch.dtype) -> None:
        """``width``: of the output; ``dtype``: what callers that look at the weight shall see."""
        super().__init__()
        self.width = width
        self.weight = nn.Buffer(torch.empty(0, dtype=dtype), persistent=False)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """Return zeros of shape (..., width)."""
        return hidden_states.new_zeros((*hidden_states.shape[:-1], self.width))


class KeysValues(nn.Module):
    """Fill the cache with keys and values that another stack reads, and add nothing.

    What is left of a block of a pi0-style language model in Drop-Then-Recovery (arXiv
    2606.27755, Appendix B): W_K, W_V and the input norm.
    """

    def __init__(self, attention: Any) -> None:
        """Keep the key and value layers of a transformers attention with rotary positions."""
        super().__init__()
        self.k_proj, self.v_proj = attention.k_proj, attention.v_proj
        self.head_dim, self.layer_idx = attention.head_dim, attention.layer_idx
        self._rotate = sys.modules[type(attention).__module__].apply_rotary_pos_emb

    def forward(
        self, hidden_states: torch.Tensor,
        position_embeddings: tuple[torch.Tensor, torch.Tensor],
        attention_mask: torch.Tensor | None = None, past_key_values: Any = None, **_: Any,
    ) -> tuple[torch.Tensor, None]:
        """Update the cache; return a zero of no dimension and no weights."""
        if past_key_values is not None:
            shape = (*hidden_states.shape[:-1], -1, self.head_dim)
            keys = self.k_proj(hidden_states).view(shape).transpose(1, 2)
            values = self.v_proj(hidden_states).view(shape).transpose(1, 2)
            _, keys = self._rotate(keys, keys, *position_embeddings)
            past_key_values.update(keys, values, self.layer_idx)
        return hidden_states.new_zeros(()), None


class StandIns:
    """What takes the place of a removed part in models whose blocks call their parts whole."""

    def attention(self, attention: Any, keep_keys_values: bool) -> nn.Module:
        """Return what stands for attention whose queries and output are gone."""
        return KeysValues(attention) if keep_keys_values else NoAttention()

    def mlp(self, _mlp: Any) -> nn.Module:
        """Return what stands for a removed MLP."""
        return NoMlp()
