# SPDX-License-Identifier: Apache-2.0
"""Words and pixels on the one path that training and inference share."""

from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
import torch

from vla_drop_ros.policies.prompt import (
    build_tokenizer,
    encode_instructions,
    IMAGE_ID,
    PAD_ID,
    pixels,
    SEPARATOR_ID,
    UNKNOWN_ID,
    word_ids,
)

WORDS = ['Put', 'the', 'red', 'cube', 'left', 'the']


def test_prompt_is_images_words_separator_padding() -> None:
    """The shorter row is padded on the right and masked there."""
    tokenizer = build_tokenizer(WORDS)
    ids, mask = encode_instructions(tokenizer, ['put the red cube', 'left'], image_tokens=3)
    assert ids.shape == mask.shape == (2, 8)
    assert ids[1].tolist() == [IMAGE_ID] * 3 + [tokenizer.token_to_id('left'), SEPARATOR_ID,
                                                PAD_ID, PAD_ID, PAD_ID]
    assert mask.tolist() == [[1] * 8, [1] * 5 + [0] * 3]
    assert encode_instructions(tokenizer, ['left'], 3, length=12)[0].shape == (1, 12)


def test_case_and_punctuation_do_not_matter_and_unknown_words_do() -> None:
    """People write sentences; words never seen become <unk>."""
    tokenizer = build_tokenizer(WORDS)
    assert word_ids(tokenizer, ' PUT the red, cube! ') == word_ids(tokenizer, 'put the red cube')
    assert word_ids(tokenizer, 'put banana')[1] == UNKNOWN_ID


def test_special_tokens_cannot_be_typed() -> None:
    """An instruction that spells an image token does not become one."""
    assert word_ids(build_tokenizer(WORDS), '<image> <pad> <sep>') == [UNKNOWN_ID] * 3


def test_vocabulary_does_not_hang_on_the_order_of_words(tmp_path: Path) -> None:
    """The same words give the same ids, before and after saving."""
    tokenizer = build_tokenizer(WORDS)
    tokenizer.save(str(tmp_path / 'tokenizer.json'))
    loaded = Tokenizer.from_file(str(tmp_path / 'tokenizer.json'))
    assert build_tokenizer(reversed(WORDS)).get_vocab() == tokenizer.get_vocab()
    assert word_ids(loaded, 'Put the cube.') == word_ids(tokenizer, 'put the cube')


def test_pixels_span_minus_one_to_one() -> None:
    """Black is -1, white is +1, channels come before rows; arrays and tensors alike."""
    images = np.zeros((2, 3, 4, 5, 3), np.uint8)
    images[..., 1] = 255
    values = pixels(images)
    assert values.shape == (2, 3, 3, 4, 5) and values.dtype == torch.float32
    assert (values[:, :, 0] == -1).all() and (values[:, :, 1] == 1).all()
    assert torch.equal(values, pixels(torch.from_numpy(images)))
