#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Count what published drops leave of the published models, built in full size without weights.

pi0 (transformers' own defaults), SmolVLA (lerobot, where it loads) and OpenVLA-OFT: parameters of
the whole, without what nothing reads, and after every preset that fits the shape.
"""

import argparse
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
import io
from pathlib import Path
import sys
import tempfile
from typing import Any

from accelerate import init_empty_weights
import transformers

from vla_drop_ros.errors import MissingDependencyError
from vla_drop_ros.families.family import Family
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.registry import family
from vla_drop_ros.pruning.constraints import layout_of
from vla_drop_ros.pruning.dead import remove_dead
from vla_drop_ros.pruning.drop import dropped
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.presets import presets


def pi0() -> Any:
    """Return pi0 with a PaliGemma of 3 B and an expert of 300 M."""
    return transformers.PI0ForConditionalGeneration(transformers.PI0Config()).eval()


def openvla_oft() -> Any:
    """Return OpenVLA-OFT: DINOv2-L and SigLIP-SO400M in front of a Llama 2 of 7 B."""
    from vla_drop_ros.families.prismatic_model import PrismaticConfig, PrismaticForActions
    images = {'image_size': 224, 'patch_size': 14, 'num_attention_heads': 16}
    return PrismaticForActions(PrismaticConfig(
        dino_config={**images, 'hidden_size': 1024, 'num_hidden_layers': 24},
        siglip_config={**images, 'hidden_size': 1152, 'num_hidden_layers': 27,
                       'intermediate_size': 4304, 'vision_use_head': False},
        text_config={'vocab_size': 32064}, chunk_length=8, action_dim=7, state_dim=8)).eval()


def smolvla() -> Any:
    """Return SmolVLA: 16 of the 32 blocks of SmolVLM2-500M and a narrower expert."""
    family('smolvla')
    from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
    from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
    with tempfile.TemporaryDirectory() as folder:
        write_smolvlm2(Path(folder))
        return SmolVLAPolicy(SmolVLAConfig(
            vlm_model_name=folder, load_vlm_weights=False, device='cpu', **features())).eval()


def features() -> dict[str, Any]:
    """Return inputs and outputs of an arm with six joints and two cameras."""
    from lerobot.configs.types import FeatureType, PolicyFeature
    return {'input_features': {
        **{f'observation.images.{name}': PolicyFeature(FeatureType.VISUAL, (3, 256, 256))
           for name in ('front', 'wrist')},
        'observation.state': PolicyFeature(FeatureType.STATE, (6,))},
        'output_features': {'action': PolicyFeature(FeatureType.ACTION, (6,))}}


def write_smolvlm2(folder: Path) -> None:
    """Write the configuration and a processor of SmolVLM2-500M, with a few words."""
    from transformers import PreTrainedTokenizerFast, SmolVLMConfig, SmolVLMProcessor
    from transformers.models.smolvlm.image_processing_smolvlm import SmolVLMImageProcessor
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

    from vla_drop_ros.policies.prompt import build_tokenizer, PAD, UNKNOWN
    SmolVLMConfig(
        scale_factor=4, image_token_id=49190, tie_word_embeddings=False,
        text_config={'model_type': 'llama', 'hidden_size': 960, 'intermediate_size': 2560,
                     'num_hidden_layers': 32, 'num_attention_heads': 15, 'head_dim': 64,
                     'num_key_value_heads': 5, 'vocab_size': 49280},
        vision_config={'hidden_size': 768, 'intermediate_size': 3072, 'num_hidden_layers': 12,
                       'num_attention_heads': 12, 'image_size': 512, 'patch_size': 16},
    ).save_pretrained(folder)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=build_tokenizer(('put',)), pad_token=PAD, unk_token=UNKNOWN,
        extra_special_tokens={'fake_image_token': '<bos>', 'global_image_token': '<sep>',
                              'image_token': '<image>'})
    SmolVLMProcessor(SmolVLMImageProcessor(), tokenizer, SmolVLMVideoProcessor(),
                     chat_template='{{ messages }}').save_pretrained(folder)


MODELS: dict[str, tuple[str, Callable[[], Any]]] = {
    'pi0': ('pi0', pi0), 'SmolVLA': ('smolvla', smolvla),
    'OpenVLA-OFT': ('prismatic', openvla_oft)}


def count(model: Any) -> int:
    """Return the parameters of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


def sizes(found: Family, model: Any) -> dict[str, int]:
    """Return parameters of the whole, without what is dead, and after each preset that fits."""
    counted = {'whole': count(model)}
    journal = Journal()
    remove_dead(found, model, journal)
    counted['without what nothing reads'] = count(model)
    journal.undo()
    layout = layout_of(found, model)
    for name, preset in presets().items():
        depths = {stack: one.depth for stack, one in layout.stacks.items()}
        fits = all(depths.get(stack) == depth for stack, depth in preset.depth.items())
        if preset.family == found.name and fits:
            plan: Plan = preset.plan(found.name, layout, '')
            with dropped(found, model, plan):
                counted[name] = count(model)
    return counted


def measure(arguments: Sequence[str] | None = None) -> int:
    """Print the table and return 0."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--model', choices=MODELS, action='append', help='default: all')
    args = parser.parse_args(arguments)
    for name in args.model or MODELS:
        kind, build = MODELS[name]
        try:
            # lerobot prints how many blocks it takes.
            with init_empty_weights(include_buffers=False), redirect_stdout(io.StringIO()):
                model = build()
            counted = sizes(family(kind), model)
        except MissingDependencyError as error:
            print(f'{name}: left out, {error}')
            continue
        whole = counted['whole']
        for what, number in counted.items():
            print(f'{name:12} {what:36} {number / 1e6:9.2f} M  {number / whole:6.1%}')
    return 0


if __name__ == '__main__':
    sys.exit(measure())
