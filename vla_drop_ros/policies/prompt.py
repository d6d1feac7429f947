# SPDX-License-Identifier: Apache-2.0
"""Words and pictures as the model sees them: the one code path of training and inference.

A prompt is the image tokens of every camera, the words of the instruction, a separator.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase, Replace
from tokenizers.normalizers import Sequence as NormalizerSequence
from tokenizers.pre_tokenizers import WhitespaceSplit
import torch

PAD, UNKNOWN, IMAGE, BEGIN, SEPARATOR = SPECIAL_TOKENS = (
    '<pad>', '<unk>', '<image>', '<bos>', '<sep>')
PAD_ID, UNKNOWN_ID, IMAGE_ID, BEGIN_ID, SEPARATOR_ID = range(len(SPECIAL_TOKENS))


def build_tokenizer(words: Iterable[str]) -> Tokenizer:
    """Return a word-level tokenizer: lower case, punctuation ignored, unknown words -> <unk>.

    The special tokens take the ids 0 to 4, then the sorted distinct words follow.
    """
    vocabulary = (*SPECIAL_TOKENS, *sorted({word.lower() for word in words} - {*SPECIAL_TOKENS}))
    ids = {word: index for index, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordLevel(ids, unk_token=UNKNOWN))
    tokenizer.normalizer = NormalizerSequence(
        [Lowercase(), Replace(Regex(r'[.,;:!?"]'), ' ')])
    tokenizer.pre_tokenizer = WhitespaceSplit()
    return tokenizer


def word_ids(tokenizer: Tokenizer, text: str) -> list[int]:
    """Return the ids of the words of ``text``; what spells a special token is an unknown word."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    return [index if index >= len(SPECIAL_TOKENS) else UNKNOWN_ID for index in ids]


def encode_instructions(
    tokenizer: Tokenizer, texts: Sequence[str], image_tokens: int, length: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the prompts of a batch, padded on the right.

    Args:
        tokenizer: as built by ``build_tokenizer``.
        texts: B instructions.
        image_tokens: image tokens of all cameras together.
        length: pad to this many tokens; default: as many as the longest prompt needs.

    Returns:
        input_ids and attention_mask (1 for a token, 0 for padding), int64, shape (B, T).

    """
    prompts = [
        [*[IMAGE_ID] * image_tokens, *word_ids(tokenizer, text), SEPARATOR_ID] for text in texts]
    return pad_right(prompts, max(max(map(len, prompts)), length or 0), PAD_ID)


def pad_right(rows: Sequence[Sequence[int]], length: int, pad: int,
              ) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows of ids padded to a length, and 1 for what is no padding, int64, (B, T)."""
    ids = torch.full((len(rows), length), pad, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, :len(row)] = torch.tensor(row)
        mask[number, :len(row)] = 1
    return ids, mask


def pixels(images: torch.Tensor | np.ndarray[Any, np.dtype[np.uint8]]) -> torch.Tensor:
    """Return RGB uint8 (..., H, W, 3) as float32 in [-1, 1], shape (..., 3, H, W)."""
    return torch.as_tensor(images).movedim(-1, -3).to(torch.float32).div_(127.5).sub_(1.0)
