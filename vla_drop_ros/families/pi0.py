# SPDX-License-Identifier: Apache-2.0
"""The pi0 classes of transformers and the PaliGemma that they are adapted from.

A SigLIP tower feeds a Gemma language model; an action expert, a smaller Gemma, attends in block i
to the keys and values that language block i left in the cache. The language model's output is
read by nothing, so its last block only matters for keys and values (pi0: arXiv 2410.24164).
"""

from collections.abc import Mapping
import json
from pathlib import Path
import re
from typing import Any

from accelerate import init_empty_weights
import numpy as np
from scipy.stats import beta
import torch
import transformers

from vla_drop_ros.families.block_sites import Sites, StackSite
from vla_drop_ros.families.family import Batch, Inputs, stacks
from vla_drop_ros.families.guidance import Denoiser
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.reduced import StandIns
from vla_drop_ros.families.stock import no_progress_bars, open_strictly, uniform
from vla_drop_ros.manifest import CONFIG_FILE
from vla_drop_ros.types import FloatArray

WORDS = 6  # instruction tokens of the fixed prompt

_PROJECTOR = 'it joins vision and language and every study found it unprunable'
_EMBEDDING = 'it is no block'
# Keys as openpi and lerobot write them, with the longest prefix first -> parameters.
_RENAMED = (
    (r'^paligemma_with_expert\.paligemma\.model\.language_model\.model\.',
     'model.vlm.language_model.'),
    (r'^paligemma_with_expert\.paligemma\.model\.', 'model.vlm.'),
    (r'^paligemma_with_expert\.paligemma\.lm_head\.', 'model.vlm.language_model.embed_tokens.'),
    (r'^paligemma_with_expert\.gemma_expert\.lm_head\.', 'model.dit.embed_tokens.'),
    (r'^paligemma_with_expert\.gemma_expert\.model\.', 'model.dit.'),
    (r'^(state_proj|action_in_proj|action_time_mlp_in|action_time_mlp_out)\.',
     r'embed_action_time.\1.'),
    (r'^language_model\.model\.', 'model.language_model.'),
    (r'^(vision_tower|multi_modal_projector)\.', r'model.\1.'),
)


def _vision(root: str, config: Mapping[str, Any]) -> StackSite:
    return StackSite(
        'vision', f'{root}vision_tower.encoder.layers', f'{root}vision_tower.post_layernorm',
        config['num_hidden_layers'], config['hidden_size'] // config['num_attention_heads'],
        attention_norm='layer_norm1', output='self_attn.out_proj', mlp_norm='layer_norm2',
        expand=('mlp.fc1',), contract='mlp.fc2')


def _gemma(name: str, root: str, config: Mapping[str, Any], **more: Any) -> StackSite:
    return StackSite(
        name, f'{root}.layers', f'{root}.norm', config['num_hidden_layers'], config['head_dim'],
        **more)


class PaliGemma:
    """A vision-language model: the base that a pi0 policy is adapted from."""

    name, role = 'paligemma', 'vlm'
    head, flows = '', False
    stock_loader = 'transformers.PaliGemmaForConditionalGeneration.from_pretrained'
    stand_ins = StandIns()

    @property
    def _classes(self) -> tuple[Any, Any]:
        return transformers.PaliGemmaConfig, transformers.PaliGemmaForConditionalGeneration

    def sites(self, config: Mapping[str, Any]) -> Sites:
        """Return where the blocks are; see ``Family``."""
        root = 'model.'
        return Sites(
            (_vision(root, config['vision_config']),
             _gemma('language', f'{root}language_model', config['text_config'])),
            modes={'vision': ('whole', 'mha', 'mlp'), 'language': ('whole', 'mha', 'mlp')},
            protected={f'{root}multi_modal_projector': _PROJECTOR},
            prefixes={f'{root}vision_tower.': 'vision', f'{root}language_model.': 'language'})

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
        configuration, model = self._classes
        with init_empty_weights(include_buffers=False):
            return model(configuration.from_pretrained(folder)).eval()

    def tied(self, model: Any) -> dict[str, str]:
        """Return the output words, which are the input words."""
        return dict(getattr(model, '_tied_weights_keys', None) or {})

    def module_name(self, key: str) -> str:
        """Return the parameter that a key means, whoever wrote it."""
        for pattern, replacement in _RENAMED:
            key, changed = re.subn(pattern, replacement, key)
            if changed:
                break
        return key

    def write(self, model: Any, folder: Path, shard_bytes: int) -> None:
        """Write configuration and weights under the names of the parameters."""
        with no_progress_bars():
            model.save_pretrained(folder, max_shard_size=shard_bytes, save_original_format=False)

    def open_stock(self, folder: Path) -> Any:
        """Open with transformers alone."""
        return open_strictly(self._classes[1], folder)

    def agree(self, model: Any, journal: Journal) -> None:
        """Number the attentions anew and write down depths, and widths where all agree."""
        found = stacks(self, model)
        cache = {'language': 0, 'action': 0}
        for name, stack in found.items():
            config = self._config_of(model, name)
            kept = len(stack)
            if config.num_hidden_layers != kept:
                if getattr(config, 'layer_types', None) is not None:
                    journal.set(config, 'layer_types', self._types_left(config, kept))
                journal.set(config, 'num_hidden_layers', kept)
            uniform(config, 'intermediate_size', [stack.channels(i) for i in range(kept)], journal)
            if name == 'vision':
                continue  # transformers would take other heads for wider ones
            uniform(config, 'num_attention_heads', [stack.heads(i) for i in range(kept)], journal)
            for index in range(kept):
                shared = not stack.site.read_by or stack.is_read(index)
                if shared and 'keys_values' in stack.left(index):
                    attention = stack.module(index, stack.site.attention)
                    journal.set(attention, 'layer_idx', cache[name])
                    cache[name] += 1

    @staticmethod
    def _types_left(config: Any, kept: int) -> list[str]:
        """Gemma's blocks are all of one type, so which are left does not matter."""
        types: list[str] = list(config.layer_types)[:kept]
        return types

    @staticmethod
    def _config_of(model: Any, stack: str) -> Any:
        config = getattr(model.config, 'vlm_config', model.config)
        parts = {'vision': 'vision_config', 'language': 'text_config'}
        return model.config.dit_config if stack == 'action' else getattr(config, parts[stack])

    def fixed_inputs(self, model: Any, cameras: int, seed: int) -> tuple[Inputs, torch.Tensor]:
        """Return a prompt of images and words, pseudo-random, and no noise."""
        rng = np.random.default_rng(seed)
        config = getattr(model.config, 'vlm_config', model.config)
        vision, words = config.vision_config, config.text_config.vocab_size
        images = cameras * (vision.image_size // vision.patch_size) ** 2
        picked = [int(word) for word in rng.integers(0, words, WORDS)]
        picked = [(word + 1) % words if word == config.image_token_id else word
                  for word in picked]
        shape = (1, cameras, 3, vision.image_size, vision.image_size)
        pixels = torch.from_numpy(rng.uniform(-1, 1, shape)).float()
        ids = torch.tensor([[config.image_token_id] * images + picked])
        inputs = {
            'input_ids': ids, 'attention_mask': torch.ones_like(ids), 'pixel_values': pixels}
        return inputs, torch.empty(1, 0, 0)

    def noise_shape(self, model: Any) -> tuple[int, int]:
        """Return no actions."""
        return (0, 0)

    def flow_times(self, model: Any, shares: FloatArray) -> FloatArray:
        """Return no times."""
        return np.zeros_like(shares)

    def act(self, model: Any, inputs: Inputs, noise: torch.Tensor) -> torch.Tensor:
        """Return the logits of the word behind the prompt, (B, V)."""
        mask = inputs['attention_mask']
        with torch.no_grad():
            logits: torch.Tensor = model(
                input_ids=inputs['input_ids'], pixel_values=inputs['pixel_values'].flatten(0, 1),
                attention_mask=mask, position_ids=mask.cumsum(-1) - 1,
                token_type_ids=torch.zeros_like(mask)).logits
        return logits[:, -1]

    def denoiser(self, model: Any, inputs: Inputs) -> Denoiser:
        """Refuse: it does not act."""
        raise ValueError('a vision-language model has no flow')

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Refuse: it does not act."""
        raise ValueError('a vision-language model has no action loss')

    def masks(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the padding of the language stack."""
        return {'language': inputs['attention_mask']}


class Pi0(PaliGemma):
    """A policy: PaliGemma and the action expert that reads its keys and values."""

    name, role = 'pi0', 'vla'
    head, flows = 'action_out_proj', True
    stock_loader = 'transformers.PI0ForConditionalGeneration.from_pretrained'

    @property
    def _classes(self) -> tuple[Any, Any]:
        return transformers.PI0Config, transformers.PI0ForConditionalGeneration

    def sites(self, config: Mapping[str, Any]) -> Sites:
        """Return where the blocks are; see ``Family``."""
        root, vlm = 'model.vlm.', config['vlm_config']
        return Sites(
            (_vision(root, vlm['vision_config']),
             _gemma('language', f'{root}language_model', vlm['text_config'], read_by='action',
                    output_read=False),
             _gemma('action', 'model.dit', config['dit_config'])),
            modes={'vision': ('whole', 'mha', 'mlp'),
                   'language': ('tied', 'keep-kv', 'mha', 'mlp'),
                   'action': ('whole', 'mha', 'mlp')},
            protected={f'{root}multi_modal_projector': _PROJECTOR,
                       'embed_action_time': _EMBEDDING, 'action_out_proj': _EMBEDDING},
            unused=('model.dit.embed_tokens',),
            same_heads=(() if config['dit_config']['num_key_value_heads'] == 1
                        else ('language', 'action')),
            prefixes={f'{root}vision_tower.': 'vision', f'{root}language_model.': 'language',
                      'model.dit.': 'action', 'embed_action_time.': 'action',
                      'action_out_proj.': 'action'},
            refused={('language', 'whole'): 'the action block of the same index reads its keys '
                                            'and values; keep them (keep-kv) or drop both (tied)'})

    def fixed_inputs(self, model: Any, cameras: int, seed: int) -> tuple[Inputs, torch.Tensor]:
        """Return prompt, state and noise, pseudo-random."""
        inputs, _ = super().fixed_inputs(model, cameras, seed)
        rng = np.random.default_rng(seed + 1)
        state, noise = (torch.from_numpy(rng.standard_normal(shape)).float() for shape in (
            (1, model.config.max_state_dim), (1, *self.noise_shape(model))))
        return {**inputs, 'state': state}, noise

    def noise_shape(self, model: Any) -> tuple[int, int]:
        """Return the chunk inside the model."""
        return model.config.chunk_size, model.config.max_action_dim

    def flow_times(self, model: Any, shares: FloatArray) -> FloatArray:
        """Return quantiles of the shifted beta distribution of pi0 (arXiv 2410.24164)."""
        config = model.config
        times: FloatArray = (config.time_sampling_offset + config.time_sampling_scale * beta.ppf(
            shares, config.time_sampling_beta_alpha, config.time_sampling_beta_beta))
        return times

    def act(self, model: Any, inputs: Inputs, noise: torch.Tensor) -> torch.Tensor:
        """Run the family's own sampler from ``noise``."""
        present = torch.ones(
            inputs['pixel_values'].shape[:2], dtype=torch.bool, device=noise.device)
        actions: torch.Tensor = model.sample_actions(
            **inputs, noise=noise, pixel_attention_mask=present)
        return actions

    def denoiser(self, model: Any, inputs: Inputs) -> Denoiser:
        """Return the flow that the family's own sampler follows."""
        with torch.no_grad():
            cache = self._prompt(model, inputs)
        length = cache.get_seq_length()

        def velocity(actions: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = model(
                state=inputs['state'], noise=actions, timestep=time.expand(len(actions)),
                attention_mask=inputs['attention_mask'], past_key_values=cache).logits
            cache.crop(length - cache.get_seq_length())
            for layer in cache.layers:  # what is left is a part of what this step has computed
                layer.keys, layer.values = layer.keys.detach(), layer.values.detach()
            return found

        return Denoiser(velocity, model.config.num_inference_steps)

    @staticmethod
    def _prompt(model: Any, inputs: Inputs) -> Any:
        """Return the keys and values of pictures and words."""
        mask = inputs['attention_mask']
        embeddings = model.model.embed_prefix(
            inputs['input_ids'], inputs['pixel_values'],
            torch.ones(inputs['pixel_values'].shape[:2], dtype=torch.bool, device=mask.device))
        return model.model.vlm(
            inputs_embeds=embeddings, attention_mask=mask, position_ids=mask.cumsum(-1) - 1,
            token_type_ids=torch.zeros_like(mask), use_cache=True).past_key_values

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return the flow-matching error by sample; the draws share one prompt."""
        inputs, draws = batch.inputs, batch.time.shape[1]
        mask, cache = inputs['attention_mask'], self._prompt(model, inputs)
        cache.batch_repeat_interleave(draws)
        actions, weights, state, mask = (
            tensor.repeat_interleave(draws, 0)
            for tensor in (batch.actions, batch.weights, inputs['state'], mask))
        noise = batch.noise.flatten(0, 1)
        velocity = model(state=state, noise=noise, timestep=batch.time.flatten(), actions=actions,
                         attention_mask=mask, past_key_values=cache).logits
        error = (velocity - (noise - actions)) ** 2 * weights
        mean = error.sum((1, 2)) / weights.sum((1, 2)).clamp(min=1)
        return mean.unflatten(0, (-1, draws)).mean(1)


PALIGEMMA, PI0 = PaliGemma(), Pi0()
