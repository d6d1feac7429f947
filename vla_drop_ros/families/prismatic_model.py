# SPDX-License-Identifier: Apache-2.0
"""An OpenVLA-OFT-style policy, composed of DINOv2, SigLIP and Llama as transformers has them.

Every camera goes through both vision towers; their features before the last block are fused and
projected into the words' space (Prismatic: arXiv 2402.07865, OpenVLA: arXiv 2406.09246). One
Llama, in which all tokens attend to each other, turns empty tokens into a whole chunk at once, and
an MLP reads the actions off (OpenVLA-OFT: arXiv 2502.19645). The sequence:

    BOS, patches of all cameras, state, words, padding, empty tokens, stop

OpenVLA-OFT's own weights are read one token earlier, as for predicting the next token; here a
token is read where it stands.
"""

from typing import Any, ClassVar

import torch
from torch import nn
from transformers import (
    Dinov2WithRegistersConfig,
    Dinov2WithRegistersModel,
    LlamaConfig,
    LlamaModel,
    PreTrainedConfig,
    PreTrainedModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)


class PrismaticConfig(PreTrainedConfig):
    """Configuration of the parts and what joins them.

    Attributes:
        dino_config, siglip_config, text_config: of the parts, or the dicts to make them of.
        dino_tap, siglip_tap: blocks before the features that are read; None: all but the last.
        chunk_length: steps of a chunk.
        action_dim: numbers of a step.
        state_dim: numbers of the robot's state; 0: the model is not shown any.

    """

    model_type = 'prismatic'
    sub_configs: ClassVar[dict[str, Any]] = {
        'dino_config': Dinov2WithRegistersConfig, 'siglip_config': SiglipVisionConfig,
        'text_config': LlamaConfig}

    dino_config: Any = None
    siglip_config: Any = None
    text_config: Any = None
    dino_tap: int | None = None
    siglip_tap: int | None = None
    chunk_length: int = 8
    action_dim: int = 7
    state_dim: int = 0

    def __post_init__(self, **kwargs: Any) -> None:
        """Make the parts' configurations, and refuse what does not fit together."""
        for name, kind in self.sub_configs.items():
            if not isinstance(getattr(self, name), kind):
                setattr(self, name, kind(**(getattr(self, name) or {})))
        for name in ('dino', 'siglip'):
            depth = getattr(self, f'{name}_config').num_hidden_layers
            if getattr(self, f'{name}_tap') is None:
                setattr(self, f'{name}_tap', depth - 1)
            if not 0 <= getattr(self, f'{name}_tap') <= depth:
                raise ValueError(f'{name}_tap {getattr(self, f"{name}_tap")}: the tower has '
                                 f'{depth} blocks')
        super().__post_init__(**kwargs)
        self._check()

    def _check(self) -> None:
        if self.dino_config.use_swiglu_ffn:
            raise ValueError('use_swiglu_ffn: only towers with a plain MLP are known here')
        grids = [one.image_size // one.patch_size
                 for one in (self.dino_config, self.siglip_config)]
        if grids[0] != grids[1]:
            raise ValueError(f'the towers cut an image into {grids[0]} and {grids[1]} patches a '
                             'side; their features cannot be joined')
        ends = self.text_config.bos_token_id, self.text_config.eos_token_id
        if not all(isinstance(token, int) for token in ends):
            raise ValueError(f'bos_token_id and eos_token_id {ends} must be one number each')

    @property
    def patches(self) -> int:
        """Tokens of one camera."""
        return int(self.siglip_config.image_size // self.siglip_config.patch_size) ** 2


class ResidualMlp(nn.Module):
    """h + relu(W norm(h) + b)."""

    def __init__(self, width: int) -> None:
        """``width``: of h."""
        super().__init__()
        self.layers = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.ReLU())

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return the same shape."""
        return hidden + self.layers(hidden)


class PrismaticForActions(PreTrainedModel):
    """Images, words and state in, a normalised action chunk out.

    The blocks that a tower's features come out of have the attribute ``feeds_features``, so that
    the tap can be counted again when some of them are gone.
    """

    config_class = PrismaticConfig
    config: PrismaticConfig
    base_model_prefix = ''
    _supports_sdpa = True
    _no_split_modules = ['Dinov2WithRegistersLayer', 'SiglipEncoderLayer', 'LlamaDecoderLayer']

    def __init__(self, config: PrismaticConfig) -> None:
        """Build the parts; weights are random."""
        super().__init__(config)
        width, fused = config.text_config.hidden_size, (
            config.dino_config.hidden_size + config.siglip_config.hidden_size)
        # The parts share their configurations with this one's: a drop is written down once.
        self.dino = Dinov2WithRegistersModel(config.dino_config)
        self.siglip = SiglipVisionModel(config.siglip_config)
        self.projector = nn.Sequential(
            nn.Linear(fused, 4 * fused), nn.GELU(), nn.Linear(4 * fused, width), nn.GELU(),
            nn.Linear(width, width))
        self.state_projector = nn.Sequential(
            nn.Linear(config.state_dim, width), nn.GELU(), nn.Linear(width, width),
        ) if config.state_dim else None
        self.language_model = LlamaModel(config.text_config)
        self.action_head = nn.Sequential(
            nn.LayerNorm(config.action_dim * width), nn.Linear(config.action_dim * width, width),
            nn.ReLU(), ResidualMlp(width), ResidualMlp(width),
            nn.LayerNorm(width), nn.Linear(width, config.action_dim))
        for blocks, tap in ((self.dino.encoder.layer, config.dino_tap),
                            (self.siglip.encoder.layers, config.siglip_tap)):
            for block in blocks[:tap]:
                block.feeds_features = True
        self.post_init()

    def sequence_mask(self, words: torch.Tensor, cameras: int) -> torch.Tensor:
        """Return the mask of the whole sequence from that of BOS and words, 1 for a token.

        Args:
            words: shape (B, P), the first of each row is BOS.
            cameras: images of each sample.

        Returns:
            int64, shape (B, P + cameras * patches + state + chunk_length * action_dim + 1).

        """
        before = cameras * self.config.patches + bool(self.config.state_dim)
        behind = self.config.chunk_length * self.config.action_dim + 1
        return torch.cat([
            words[:, :1], words.new_ones((len(words), before)), words[:, 1:],
            words.new_ones((len(words), behind))], 1).long()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor,
                dino_pixels: torch.Tensor, siglip_pixels: torch.Tensor,
                state: torch.Tensor | None = None) -> torch.Tensor:
        """Return the normalised actions, shape (B, chunk_length, action_dim).

        Args:
            input_ids: BOS and words, padded on the right, shape (B, P).
            attention_mask: of the whole sequence, see ``sequence_mask``.
            dino_pixels: as that tower wants them, shape (B, C, 3, H, W).
            siglip_pixels: the same images as the other tower wants them.
            state: normalised, shape (B, state_dim).

        """
        embeddings = self._sequence(input_ids, dino_pixels, siglip_pixels, state)
        # With a mask of four dimensions Llama takes it as it is: every token sees every other.
        unseen = torch.zeros_like(attention_mask, dtype=embeddings.dtype).masked_fill(
            attention_mask == 0, torch.finfo(embeddings.dtype).min)
        hidden = self.language_model(
            inputs_embeds=embeddings, attention_mask=unseen[:, None, None],
            position_ids=attention_mask.cumsum(-1) - 1, use_cache=False).last_hidden_state
        empty = hidden[:, -self.config.chunk_length * self.config.action_dim - 1:-1]
        return self.action_head(empty.unflatten(1, (self.config.chunk_length, -1)).flatten(2))

    def _sequence(self, input_ids: torch.Tensor, dino_pixels: torch.Tensor,
                  siglip_pixels: torch.Tensor, state: torch.Tensor | None) -> torch.Tensor:
        """Return the embeddings of the whole sequence, shape (B, T, D)."""
        words = self.language_model.embed_tokens(input_ids)
        samples, _, width = words.shape
        empty = words.new_zeros(
            (samples, self.config.chunk_length * self.config.action_dim, width))
        stop = self.language_model.embed_tokens(
            torch.full_like(input_ids[:, :1], self.config.text_config.eos_token_id))
        seen = [self._patches(dino_pixels, siglip_pixels)]
        if self.state_projector is not None:
            seen.append(self.state_projector(state)[:, None])
        return torch.cat([words[:, :1], *seen, words[:, 1:], empty, stop], 1)

    def _patches(self, dino_pixels: torch.Tensor, siglip_pixels: torch.Tensor) -> torch.Tensor:
        """Return the projected patches of all cameras, shape (B, C * patches, D)."""
        dino = _tapped(self.dino, self.dino.encoder.layer, self.dino.layernorm,
                       self.config.dino_tap, dino_pixels.flatten(0, 1))
        siglip = _tapped(self.siglip, self.siglip.encoder.layers, self.siglip.post_layernorm,
                         self.config.siglip_tap, siglip_pixels.flatten(0, 1))
        dino = dino[:, 1 + self.config.dino_config.num_register_tokens:]
        projected = self.projector(torch.cat([dino, siglip], -1))
        return projected.unflatten(0, dino_pixels.shape[:2]).flatten(1, 2)


def _tapped(tower: nn.Module, blocks: nn.ModuleList, norm: nn.Module, tap: int | None,
            pixels: torch.Tensor) -> torch.Tensor:
    """Return what ``tap`` blocks make of the pixels; as in timm the others run for nobody."""
    found: list[torch.Tensor] = []
    reader = norm if tap is None or tap >= len(blocks) else blocks[tap]
    handle = reader.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    try:
        tower(pixels)
    finally:
        handle.remove()
    return found[0]
