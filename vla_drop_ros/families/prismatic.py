# SPDX-License-Identifier: Apache-2.0
"""The OpenVLA-OFT style: two vision towers tapped before their ends, one Llama, parallel decoding.

Each tower is a stack of its own. What stands behind its tap is read by nothing, so its last block
and its final norm are dead weight.
"""

from collections.abc import Mapping
import json
from pathlib import Path
from typing import Any

from accelerate import init_empty_weights
import numpy as np
import torch

from vla_drop_ros.families.block_sites import Sites, StackSite
from vla_drop_ros.families.family import Batch, Inputs, stacks
from vla_drop_ros.families.guidance import Denoiser
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.prismatic_model import PrismaticConfig, PrismaticForActions
from vla_drop_ros.families.reduced import StandIns
from vla_drop_ros.families.stack import Stack
from vla_drop_ros.families.stock import no_progress_bars, open_strictly, uniform
from vla_drop_ros.manifest import CONFIG_FILE
from vla_drop_ros.types import FloatArray

WORDS = 6  # instruction tokens of the fixed prompt

_MODES = ('whole', 'mha', 'mlp')
# The part of the model behind each stack.
_PARTS = {'vision_dino': 'dino', 'vision_siglip': 'siglip', 'language': 'text'}
_EMBEDDING = 'it is no block'


def _dino(config: Mapping[str, Any], tap: int) -> StackSite:
    return StackSite(
        'vision_dino', 'dino.encoder.layer', 'dino.layernorm', config['num_hidden_layers'],
        config.get('head_dim') or config['hidden_size'] // config['num_attention_heads'],
        attention_norm='norm1', attention='attention', query='attention.q_proj',
        key='attention.k_proj', value='attention.v_proj', output='attention.o_proj',
        mlp_norm='norm2', expand=('mlp.fc1',), contract='mlp.fc2',
        scales=('layer_scale1', 'layer_scale2'), tap=tap)


def _siglip(config: Mapping[str, Any], tap: int) -> StackSite:
    return StackSite(
        'vision_siglip', 'siglip.encoder.layers', 'siglip.post_layernorm',
        config['num_hidden_layers'], config['hidden_size'] // config['num_attention_heads'],
        attention_norm='layer_norm1', output='self_attn.out_proj', mlp_norm='layer_norm2',
        expand=('mlp.fc1',), contract='mlp.fc2', tap=tap)


class Prismatic:
    """A policy of two towers, a projector, a Llama and an action head; see ``Family``."""

    name, role = 'prismatic', 'vla'
    head, flows = 'action_head', False
    stock_loader = 'vla_drop_ros.families.prismatic_model.PrismaticForActions.from_pretrained'
    stand_ins = StandIns()

    def sites(self, config: Mapping[str, Any]) -> Sites:
        """Return where the blocks are; see ``Family``."""
        text, siglip = config['text_config'], config['siglip_config']
        language = StackSite(
            'language', 'language_model.layers', 'language_model.norm',
            text['num_hidden_layers'], text['head_dim'])
        return Sites(
            (_dino(config['dino_config'], config['dino_tap']),
             _siglip(siglip, config['siglip_tap']), language),
            modes={'vision_dino': _MODES, 'vision_siglip': _MODES, 'language': _MODES},
            protected={
                'projector': 'it joins vision and language and every study found it unprunable',
                'state_projector': _EMBEDDING, 'action_head': 'the actions are read off by it',
                'dino.embeddings': _EMBEDDING, 'siglip.embeddings': _EMBEDDING,
                'language_model.embed_tokens': _EMBEDDING},
            unused=('siglip.head',) if siglip.get('vision_use_head', True) else (),
            prefixes={'dino.': 'vision_dino', 'siglip.': 'vision_siglip',
                      'language_model.': 'language'})

    def config(self, model: Any) -> dict[str, Any]:
        """Return the configuration of a live model."""
        found: dict[str, Any] = model.config.to_dict()
        return found

    def read_config(self, folder: Path) -> dict[str, Any]:
        """Return the configuration of a folder."""
        found: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text())
        return found

    def build(self, folder: Path) -> Any:
        """Return the model of a folder without weights."""
        with init_empty_weights(include_buffers=False):
            return PrismaticForActions(PrismaticConfig.from_pretrained(folder)).eval()

    def tied(self, model: Any) -> dict[str, str]:
        """Return nothing: there is no output word to share with an input word."""
        return {}

    def module_name(self, key: str) -> str:
        """Return the key: files have the names of the parameters."""
        return key

    def write(self, model: Any, folder: Path, shard_bytes: int) -> None:
        """Write configuration and weights under the names of the parameters."""
        with no_progress_bars():
            model.save_pretrained(folder, max_shard_size=shard_bytes, save_original_format=False)

    def open_stock(self, folder: Path) -> Any:
        """Open with ``from_pretrained`` alone."""
        return open_strictly(PrismaticForActions, folder)

    def agree(self, model: Any, journal: Journal) -> None:
        """Write down depths and taps, and widths where all agree; number the attentions anew."""
        found = stacks(self, model)
        for name, stack in found.items():
            config = getattr(model.config, f'{_PARTS[name]}_config')
            if config.num_hidden_layers != len(stack):
                journal.set(config, 'num_hidden_layers', len(stack))
            if stack.site.tap is not None:
                fed = sum(hasattr(block, 'feeds_features') for block in stack.blocks)
                journal.set(model.config, f'{_PARTS[name]}_tap', fed)
        _agree_dino(found['vision_dino'], model.config.dino_config, journal)
        for name in ('vision_siglip', 'language'):
            uniform(getattr(model.config, f'{_PARTS[name]}_config'), 'intermediate_size',
                    _channels(found[name]), journal)
        _agree_language(found['language'], model.config.text_config, journal)

    def fixed_inputs(self, model: Any, cameras: int, seed: int) -> tuple[Inputs, torch.Tensor]:
        """Return images, words and state, pseudo-random, and noise that nothing looks at."""
        rng, config = np.random.default_rng(seed), model.config
        words = rng.integers(0, config.text_config.vocab_size, WORDS)
        ids = torch.tensor([[config.text_config.bos_token_id, *map(int, words)]])
        inputs = {'input_ids': ids,
                  'attention_mask': model.sequence_mask(torch.ones_like(ids), cameras)}
        for name in ('dino', 'siglip'):
            size = getattr(config, f'{name}_config').image_size
            inputs[f'{name}_pixels'] = torch.from_numpy(
                rng.uniform(-2, 2, (1, cameras, 3, size, size))).float()
        if config.state_dim:
            inputs['state'] = torch.from_numpy(
                rng.standard_normal((1, config.state_dim))).float()
        return inputs, torch.zeros(1, *self.noise_shape(model))

    def noise_shape(self, model: Any) -> tuple[int, int]:
        """Return the chunk inside the model."""
        return model.config.chunk_length, model.config.action_dim

    def flow_times(self, model: Any, shares: FloatArray) -> FloatArray:
        """Return zeros: nothing flows."""
        return np.zeros_like(shares)

    def act(self, model: Any, inputs: Inputs, noise: torch.Tensor) -> torch.Tensor:
        """Return the chunk; the noise is not looked at."""
        with torch.no_grad():
            actions: torch.Tensor = model(**inputs)
        return actions

    def denoiser(self, model: Any, inputs: Inputs) -> Denoiser:
        """Refuse: its actions come out at once."""
        raise ValueError('a prismatic model has no flow')

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return the mean absolute error by sample, over the actions that count."""
        error = (model(**batch.inputs) - batch.actions).abs() * batch.weights
        return error.sum((1, 2)) / batch.weights.sum((1, 2)).clamp(min=1)

    def masks(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the padding of the language stack's whole sequence."""
        return {'language': inputs['attention_mask']}


def _channels(stack: Stack) -> list[int]:
    return [stack.channels(index) for index in range(len(stack))]


def _heads(stack: Stack) -> tuple[list[int], list[int]]:
    return ([stack.heads(index) for index in range(len(stack))],
            [stack.key_value_heads(index) for index in range(len(stack))])


def _agree_dino(stack: Stack, config: Any, journal: Journal) -> None:
    """Write down names of the stages, and widths, which a ratio and a head's size stand for."""
    depth = config.num_hidden_layers
    if len(config.stage_names) != depth + 1:
        journal.set(config, 'stage_names', ['stem', *(f'stage{i + 1}' for i in range(depth))])
        journal.set(config, '_out_features', config.stage_names[-1:])
        journal.set(config, '_out_indices', [depth])
    channels = set(_channels(stack)) - {0}
    if len(channels) == 1 and not max(channels) % config.hidden_size:
        uniform(config, 'mlp_ratio', [max(channels) // config.hidden_size], journal)
    heads = set(_heads(stack)[0]) - {0}
    if len(heads) == 1 and config.num_attention_heads not in heads:
        journal.set(config, 'head_dim', stack.site.head_dim)
        uniform(config, 'num_attention_heads', [*heads], journal)


def _agree_language(stack: Stack, config: Any, journal: Journal) -> None:
    """Number the attentions, and write down heads where transformers accepts their number."""
    heads, groups = (set(found) - {0} for found in _heads(stack))
    if len(heads) == len(groups) == 1 and not (
            config.hidden_size % max(heads) or max(heads) % max(groups)):
        uniform(config, 'num_attention_heads', [*heads], journal)
        uniform(config, 'num_key_value_heads', [*groups], journal)
    attending = [index for index in range(len(stack)) if 'keys_values' in stack.left(index)]
    for number, index in enumerate(attending):
        journal.set(stack.module(index, stack.site.attention), 'layer_idx', number)


PRISMATIC = Prismatic()
