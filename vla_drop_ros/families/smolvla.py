# SPDX-License-Identifier: Apache-2.0
"""SmolVLA as lerobot builds it: a SmolVLM and an action expert that reads its keys and values.

A SigLIP tower feeds the first blocks of a Llama; the expert, a narrower Llama of the same depth,
attends in block i jointly with language block i (self) or to its keys and values (cross), in turns
(SmolVLA: arXiv 2506.01844). lerobot takes the blocks of both apart and calls their parts, by their
places, and has one number of heads for all of them. The folder of a checkpoint holds in ``vlm``
what lerobot would fetch from a hub: ``SmolVLAConfig.vlm_model_name`` must point there.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, redirect_stdout
from copy import deepcopy
import io
import json
from pathlib import Path
import shutil
from typing import Any

from accelerate import init_empty_weights
from draccus.parsers.decoding import decode
from draccus.utils import ParsingError
import numpy as np
from scipy.stats import beta
import torch
from torch import nn
from transformers import AttentionInterface, AutoConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.utils import cached_file

from vla_drop_ros.errors import CheckpointError, MissingDependencyError
from vla_drop_ros.families.block_sites import Sites, StackSite
from vla_drop_ros.families.family import Batch, Inputs, stacks
from vla_drop_ros.families.guidance import Denoiser
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.piecewise import PiecewiseStandIns
from vla_drop_ros.families.reduced import StandIns, Zeros
from vla_drop_ros.families.stack import Stack
from vla_drop_ros.families.stock import uniform
from vla_drop_ros.manifest import CONFIG_FILE, INDEX_FILE
from vla_drop_ros.types import FloatArray, ImageArray

try:
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import (
        make_att_2d_masks,
        resize_with_pad,
        SmolVLAPolicy,
    )
except (TypeError, RuntimeError) as error:
    raise MissingDependencyError(
        f'lerobot is installed, but does not load beside this torch and transformers ({error}); '
        'install versions that fit each other') from error

VLM = 'vlm'  # folder inside the checkpoint
WORDS = 6  # instruction tokens of the fixed prompt

# The usual attention under a name for which transformers makes no mask.
_UNMASKED = 'vla_drop_unmasked'
AttentionInterface.register(_UNMASKED, sdpa_attention_forward)

_JOINT = 'model.vlm_with_expert.'
_TEXT = f'{_JOINT}vlm.model.text_model'
_VISION = f'{_JOINT}vlm.model.vision_model'
_EXPERT = f'{_JOINT}lm_expert'
_HEAD = f'{_JOINT}vlm.lm_head'
_PROJECTOR = 'it joins vision and language and every study found it unprunable'
_EMBEDDING = 'it is no block'
_ORDER = 'lerobot runs the language block and the expert block of one index together'


class SmolVLA:
    """A policy: SmolVLM's vision and first language blocks, and the expert beside them."""

    name, role = 'smolvla', 'vla'
    head, flows = 'model.action_out_proj', True
    stock_loader = 'lerobot.policies.smolvla.SmolVLAPolicy.from_pretrained'
    stand_ins: StandIns = PiecewiseStandIns()

    def sites(self, config: Mapping[str, Any]) -> Sites:
        """Return where the blocks are; see ``Family``."""
        depth, width, roles = config['depth'], config['head_dim'], tuple(config['roles'])
        vision = StackSite(
            'vision', f'{_VISION}.encoder.layers', f'{_VISION}.post_layernorm',
            config['vision_depth'], config['vision_head_dim'], attention_norm='layer_norm1',
            output='self_attn.out_proj', mlp_norm='layer_norm2', expand=('mlp.fc1',),
            contract='mlp.fc2')
        return Sites(
            (vision,
             StackSite('language', f'{_TEXT}.layers', f'{_TEXT}.norm', depth, width, roles=roles,
                       read_by='action', output_read=False),
             StackSite('action', f'{_EXPERT}.layers', f'{_EXPERT}.norm', depth, width,
                       roles=roles, key_inputs=True)),
            modes={'vision': ('whole', 'mha', 'mlp'),
                   'language': ('tied', 'keep-kv', 'mha', 'mlp'), 'action': ('mha', 'mlp')},
            protected={
                f'{_JOINT}vlm.model.connector': _PROJECTOR, 'model.state_proj': _EMBEDDING,
                **{f'model.action_{name}': _EMBEDDING for name in (
                    'in_proj', 'out_proj', 'time_mlp_in', 'time_mlp_out')}},
            unused=(_HEAD,), same_heads=('language', 'action'), even_heads=True,
            prefixes={f'{_VISION}.': 'vision', f'{_TEXT}.': 'language', f'{_HEAD}.': 'language',
                      'model.state_proj.': 'language', f'{_EXPERT}.': 'action',
                      'model.action_': 'action'},
            refused={('language', 'whole'): f'{_ORDER}; keep its keys and values (keep-kv) or '
                                            'drop both (tied)',
                     ('action', 'whole'): f'{_ORDER}; drop both (language, tied) or its parts '
                                          '(mha, mlp)'})

    def config(self, model: Any) -> dict[str, Any]:
        """Return the configuration of a live model."""
        return _facts(model.config, model.model.vlm_with_expert.config)

    def read_config(self, folder: Path) -> dict[str, Any]:
        """Return the configuration of a folder."""
        return _facts(_policy_config(folder), _vlm_config(folder))

    def build(self, folder: Path) -> Any:
        """Return the model of a folder without weights."""
        config = _policy_config(folder)
        _facts(config, _vlm_config(folder))
        with _local(config, folder), init_empty_weights(include_buffers=False):
            # The VLM's configuration may name a half precision; policies compute in float32.
            return SmolVLAPolicy(config).float().eval()

    def tied(self, model: Any) -> dict[str, str]:
        """Return the input words where they are the output words, as lerobot saves them."""
        vlm = model.model.vlm_with_expert.vlm
        if not vlm.all_tied_weights_keys or not hasattr(vlm.lm_head, 'weight'):
            return {}
        return {f'{_TEXT}.embed_tokens.weight': f'{_HEAD}.weight'}

    def module_name(self, key: str) -> str:
        """Return the parameter that a key means, also of a policy saved while compiled."""
        return key.replace('._orig_mod.', '.')

    def write(self, model: Any, folder: Path, shard_bytes: int) -> None:
        """Write configuration, weights, and what lerobot reads of the VLM.

        lerobot reads its weights from one file, whatever ``shard_bytes``.
        """
        model.save_pretrained(folder)
        path = folder / CONFIG_FILE
        # Everything is in the one file; loading the VLM first would round it to bfloat16.
        path.write_text(json.dumps(
            {**json.loads(path.read_text()), 'load_vlm_weights': False}, indent=4) + '\n')
        config = deepcopy(model.model.vlm_with_expert.config)
        for part in (config, config.text_config, config.vision_config):
            part.dtype = 'float32'  # lerobot builds each part in what this says
        config.save_pretrained(folder / VLM)
        for file in _vlm_files(model):
            shutil.copyfile(file, folder / VLM / file.name)

    def open_stock(self, folder: Path) -> Any:
        """Open with lerobot alone, told that the VLM's files are in the folder."""
        config = _policy_config(folder)
        config.device = 'cpu'
        try:
            with _local(config, folder):
                return SmolVLAPolicy.from_pretrained(folder, config=config, strict=True)
        except (RuntimeError, ValueError, AssertionError) as error:
            raise CheckpointError(f'{str(folder)!r} does not fit lerobot: {error}') from error

    def agree(self, model: Any, journal: Journal) -> None:
        """Number the blocks anew; write down depths, and widths where all agree."""
        found, joint = stacks(self, model), model.model.vlm_with_expert
        depth, text, vision = len(found['language']), joint.config.text_config, found['vision']
        for owner, name, value in (
                (joint, 'num_vlm_layers', depth), (joint, 'num_expert_layers', depth),
                (joint.lm_expert.config, 'num_hidden_layers', depth),
                (joint.config.vision_config, 'num_hidden_layers', len(vision))):
            if getattr(owner, name) != value:
                journal.set(owner, name, value)
        if _depth(model.config, joint.config) != depth:
            journal.set(model.config, 'num_vlm_layers', depth)
        if model.config.num_expert_layers > 0:
            journal.set(model.config, 'num_expert_layers', depth)
        for stack, config in ((vision, joint.config.vision_config), (found['language'], text)):
            uniform(config, 'intermediate_size', [
                stack.channels(index) for index in range(len(stack))], journal)
        self._agree_heads(joint, (found['language'], found['action']), journal)

    @staticmethod
    def _agree_heads(joint: Any, pair: tuple[Stack, Stack], journal: Journal) -> None:
        """Number the attentions; write down how many heads, of queries and keys, all have."""
        places = [(stack, index) for stack in pair for index in range(len(stack))]
        for stack, index in places:
            journal.set(stack.module(index, stack.site.attention), 'layer_idx', index)
        sizes = {
            'num_attention_heads': {stack.heads(index) for stack, index in places} - {0},
            'num_key_value_heads': {stack.key_value_heads(index) for stack, index in places} - {0}}
        if any(len(distinct) != 1 for distinct in sizes.values()):
            return
        text = joint.config.text_config
        (heads,), (groups,) = sizes.values()
        for name, value in (('num_attention_heads', heads), ('num_key_value_heads', groups)):
            journal.set(joint, name, value)
            if text.hidden_size % heads == 0:  # transformers refuses others
                journal.set(text, name, value)
        for stack, index in places:
            for path, number in ((stack.site.query, heads), (stack.site.key, groups),
                                 (stack.site.value, groups)):
                layer = stack.module(index, path)
                if isinstance(layer, Zeros):
                    journal.set(layer, 'width', number * stack.site.head_dim)

    def fixed_inputs(self, model: Any, cameras: int, seed: int) -> tuple[Inputs, torch.Tensor]:
        """Return images, words, state and noise, pseudo-random."""
        rng, config = np.random.default_rng(seed), model.config
        vlm = model.model.vlm_with_expert.config
        side = vlm.vision_config.image_size
        width, height = config.resize_imgs_with_padding or (side, side)
        images = torch.from_numpy(rng.uniform(-1, 1, (1, cameras, 3, height, width))).float()
        ids = torch.from_numpy(rng.integers(0, vlm.text_config.vocab_size, (1, WORDS)))
        state, noise = (torch.from_numpy(rng.standard_normal(shape)).float() for shape in (
            (1, config.max_state_dim), (1, *self.noise_shape(model))))
        mask = torch.ones_like(ids)
        return {'images': images, 'input_ids': ids, 'attention_mask': mask, 'state': state,
                'prefix_mask': prefix_mask(model, images, mask)}, noise

    def noise_shape(self, model: Any) -> tuple[int, int]:
        """Return the chunk inside the model."""
        return model.config.chunk_size, model.config.max_action_dim

    def flow_times(self, model: Any, shares: FloatArray) -> FloatArray:
        """Return quantiles of the shifted beta distribution of lerobot's ``sample_time``."""
        times: FloatArray = beta.ppf(shares, 1.5, 1.0) * 0.999 + 0.001
        return times

    def act(self, model: Any, inputs: Inputs, noise: torch.Tensor) -> torch.Tensor:
        """Run the family's own sampler from ``noise``."""
        with torch.no_grad(), _unmasked(model) if noise.is_meta else nullcontext():
            actions: torch.Tensor = model.model.sample_actions(*_prefix(inputs), noise=noise)
        return actions

    def denoiser(self, model: Any, inputs: Inputs) -> Denoiser:
        """Return the flow that lerobot's own sampler follows."""
        core = model.model
        images, there, words, mask, state = _prefix(inputs)
        with torch.no_grad(), _unmasked(model):
            embeddings, padding, attended = core.embed_prefix(
                images, there, words, mask, state=state)
            _, cache = core.vlm_with_expert.forward(
                attention_mask=make_att_2d_masks(padding, attended),
                position_ids=padding.cumsum(1) - 1, past_key_values=None,
                inputs_embeds=[embeddings, None], use_cache=core.config.use_cache,
                fill_kv_cache=True)

        def velocity(actions: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
            found: torch.Tensor = core.denoise_step(
                prefix_pad_masks=padding, past_key_values=cache, x_t=actions,
                timestep=time.expand(len(actions)))
            return found

        return Denoiser(velocity, core.config.num_steps)

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return the flow-matching error by sample, from lerobot's own training forward."""
        draws = batch.time.shape[1]
        rows = {name: tensor.repeat_interleave(draws, 0) for name, tensor in batch.inputs.items()}
        actions, weights = (
            tensor.repeat_interleave(draws, 0) for tensor in (batch.actions, batch.weights))
        error = weights * model.model.forward(
            *_prefix(rows), actions, batch.noise.flatten(0, 1), batch.time.flatten())
        mean = error.sum((1, 2)) / weights.sum((1, 2)).clamp(min=1)
        return mean.unflatten(0, (-1, draws)).mean(1)

    def masks(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return the padding of the language stack: images, words and state are its tokens."""
        return {'language': inputs['prefix_mask']}


@contextmanager
def _unmasked(model: Any) -> Iterator[None]:
    """Keep transformers from asking for the values of an image's mask: it is always full."""
    changed = Journal()
    changed.set(model.model.vlm_with_expert.config.vision_config, '_attn_implementation',
                _UNMASKED)
    try:
        yield
    finally:
        changed.undo()


def _prefix(inputs: Inputs) -> tuple[Any, ...]:
    """Return what lerobot's model takes first: images, which are there, words, mask, state."""
    images = list(inputs['images'].unbind(1))
    there = torch.ones(len(inputs['state']), dtype=torch.bool, device=inputs['state'].device)
    return (images, [there] * len(images), inputs['input_ids'], inputs['attention_mask'].bool(),
            inputs['state'])


def pixels(model: Any, images: ImageArray) -> torch.Tensor:
    """Return RGB uint8 (B, H, W, 3) as lerobot shows it to the model: (B, 3, h, w) in [-1, 1]."""
    shown = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255.0
    size = model.config.resize_imgs_with_padding
    if size is not None:
        shown = resize_with_pad(shown, *size, pad_value=0)
    return shown * 2.0 - 1.0


def prefix_mask(model: Any, images: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
    """Return 1 for what is no padding among the tokens of the language stack, shape (B, P).

    Args:
        model: states how many tokens an image takes.
        images: of all cameras, shape (B, C, 3, H, W).
        attention_mask: of the words, shape (B, T).

    """
    vlm = model.model.vlm_with_expert.config
    patch = vlm.vision_config.patch_size * vlm.scale_factor
    tokens = (images.shape[-2] // patch) * (images.shape[-1] // patch)
    if model.config.add_image_special_tokens:
        tokens += 3  # two before the image, one behind
    rows, cameras = images.shape[:2]
    mask = torch.cat([attention_mask.new_ones(rows, cameras * tokens), attention_mask,
                      attention_mask.new_ones(rows, 1)], 1)
    return nn.functional.pad(mask, (0, max(0, model.config.prefix_length - mask.shape[1])))


def _depth(policy: Any, vlm: Any) -> int:
    """Return how many blocks of the VLM's text model a policy takes."""
    whole, taken = int(vlm.text_config.num_hidden_layers), int(policy.num_vlm_layers)
    return min(taken, whole) if taken > 0 else whole


def _facts(policy: Any, vlm: Any) -> dict[str, Any]:
    """Return what ``sites`` needs of the configurations of the policy and of its VLM."""
    depth = _depth(policy, vlm)
    if policy.num_expert_layers > 0 and policy.num_expert_layers != depth:
        raise CheckpointError(
            f'num_expert_layers is {policy.num_expert_layers}, and the language stack has {depth} '
            'blocks; only a SmolVLA whose expert is as deep as that is supported')
    every, crosses = policy.self_attn_every_n_layers, 'cross' in policy.attention_mode
    roles = ['cross' if crosses and (every <= 0 or index % every) else 'self'
             for index in range(depth)]
    vision = vlm.vision_config
    return {'depth': depth, 'head_dim': vlm.text_config.head_dim, 'roles': roles,
            'vision_depth': vision.num_hidden_layers,
            'vision_head_dim': vision.hidden_size // vision.num_attention_heads}


def _policy_config(folder: Path) -> Any:
    """Return lerobot's configuration of a folder."""
    try:
        fields = json.loads((folder / CONFIG_FILE).read_text())
        fields.pop('type', None)
        return decode(SmolVLAConfig, fields)
    except ParsingError as error:
        raise CheckpointError(
            f'{str(folder / CONFIG_FILE)!r} is not what this lerobot reads: {error}') from error


def _vlm_config(folder: Path) -> Any:
    """Return the configuration of the VLM, from inside the folder."""
    if not (folder / VLM / CONFIG_FILE).is_file():
        raise CheckpointError(
            f'checkpoint {str(folder)!r} lacks {VLM}/{CONFIG_FILE}, which says what '
            'vision-language model it is made of; copy the whole folder')
    return AutoConfig.from_pretrained(folder / VLM, local_files_only=True)


@contextmanager
def _local(config: Any, folder: Path) -> Iterator[None]:
    """Let lerobot find the VLM in the folder, without weights, compiler and what it prints."""
    changed = Journal()
    for name, value in (('vlm_model_name', str(folder / VLM)), ('load_vlm_weights', False),
                        ('compile_model', False)):
        changed.set(config, name, value)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        changed.undo()


def _vlm_files(model: Any) -> list[Path]:
    """Return the tokenizer and processor files of the VLM that a live model was built with."""
    source = model.model.vlm_with_expert.config.name_or_path
    try:
        place = Path(cached_file(source, CONFIG_FILE, local_files_only=True)).parent
    except OSError as error:
        raise CheckpointError(
            f'the files of the vision-language model are no longer at {source!r}, where the '
            f'policy was loaded from: {error}') from error
    return [file for file in sorted(place.glob('*.json'))
            if file.name not in (CONFIG_FILE, INDEX_FILE)]


SMOLVLA = SmolVLA()
