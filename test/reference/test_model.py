# SPDX-License-Identifier: Apache-2.0
"""The reference architecture: the stages share their weights, and words map to themselves."""

from typing import Any

import pytest
import torch

from vla_drop_ros.policies.prompt import encode_instructions, word_ids
from vla_drop_ros.reference.frames import IMAGE_SIZE
from vla_drop_ros.reference.model import (
    build_vla,
    build_vlm,
    CHUNK,
    DENSE_BLOCK,
    image_features,
    IMAGE_TOKENS,
    prompt_embeddings,
    Tap,
    vocabulary,
    WIDTH,
)
from vla_drop_ros.simulation.tasks import COLOR_NAMES, KIND_NAMES


@pytest.fixture(scope='module')
def vlm() -> Any:
    """Return the vision-language model with random weights."""
    torch.manual_seed(0)
    return build_vlm(vocabulary()).eval()


def test_the_policy_continues_from_the_vlm(vlm: Any) -> None:
    """Adaptation starts from the pretrained weights, every one of them."""
    vla = build_vla(vlm)
    own = vla.model.vlm.state_dict()
    for name, weight in vlm.model.state_dict().items():
        assert torch.equal(own[name], weight), name
    assert vla.config.chunk_size == CHUNK


def test_a_checkpoint_stays_small(vlm: Any) -> None:
    """In float32 neither model is larger than 30 MB."""
    for model in (vlm, build_vla(vlm)):
        assert 4 * sum(p.numel() for p in model.parameters()) < 30e6


def test_a_picture_serves_several_prompts(vlm: Any) -> None:
    """Encoding a picture once for two prompts gives what encoding it for each would."""
    torch.manual_seed(1)
    pixels = torch.rand(2, 2, 3, IMAGE_SIZE, IMAGE_SIZE)
    ids, _ = encode_instructions(vocabulary(), ['put the red cube in the left bin'] * 4,
                                 IMAGE_TOKENS)
    with torch.no_grad():
        features = image_features(vlm.model, pixels)
        assert features.shape == (2, IMAGE_TOKENS, WIDTH)
        once = prompt_embeddings(vlm.model, features, ids, 2)
        twice = prompt_embeddings(
            vlm.model, image_features(vlm.model, pixels.repeat_interleave(2, 0)), ids, 1)
    torch.testing.assert_close(once, twice, atol=1e-5, rtol=1e-4)
    assert once.shape == (4, ids.shape[1], WIDTH)


def test_the_tap_hears_one_block_until_closed(vlm: Any) -> None:
    """The tap holds the output of its block of the last forward, and can be taken off."""
    language = vlm.model.language_model
    tap = Tap(language)
    with torch.no_grad():
        hidden = language(inputs_embeds=torch.rand(1, 3, WIDTH), use_cache=False,
                          output_hidden_states=True).hidden_states
    torch.testing.assert_close(tap.features, hidden[DENSE_BLOCK + 1])
    tap.close()
    tap.features = None
    with torch.no_grad():
        language(inputs_embeds=torch.rand(1, 3, WIDTH), use_cache=False)
    assert tap.features is None


def test_words_are_words() -> None:
    """Colours, kinds and locations are one token each, all different."""
    tokenizer = vocabulary()
    words = [*COLOR_NAMES, *KIND_NAMES, 'loc00', 'loc39', 'left', 'right']
    ids = [word_ids(tokenizer, word) for word in words]
    assert all(len(one) == 1 for one in ids)
    assert len({one[0] for one in ids}) == len(words)
