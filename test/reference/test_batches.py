# SPDX-License-Identifier: Apache-2.0
"""A batch carries the pictures, the words and the labels of the states it was drawn from."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
import torch

from vla_drop_ros.policies.prompt import BEGIN_ID, IMAGE_ID, PAD_ID, SEPARATOR_ID
from vla_drop_ros.reference import batches
from vla_drop_ros.reference.batches import Batch, make_batch, Source
from vla_drop_ros.reference.frames import read, write
from vla_drop_ros.reference.model import CHUNK, IMAGE_TOKENS, PATCHES, vocabulary
from vla_drop_ros.simulation import expert
from vla_drop_ros.simulation.scene import MAX_WIDTH
from vla_drop_ros.types import FloatArray

FRAMES, REPEATS = 4, 2
Draw = Callable[..., Batch]


@pytest.fixture(scope='module')
def tokenizer() -> Tokenizer:
    """Return the reference vocabulary."""
    return vocabulary()


@pytest.fixture(scope='module')
def draw(frames_folder: Path, tokenizer: Tokenizer) -> Draw:
    """Return a maker of batches: (share of instructions, answers, seed) -> batch."""
    source = Source(frames_folder, {'still': 0.5, 'demo': 0.5, 'visit': 0.5})

    def make(instructions: float = 1.0, answers: bool = True, seed: int = 0) -> Batch:
        return make_batch(source, tokenizer, np.random.default_rng(seed), FRAMES, REPEATS,
                          instructions, answers)

    return make


def test_a_prompt_is_pictures_words_separator_answer(draw: Draw, tokenizer: Tokenizer) -> None:
    """Image tokens come first, one separator ends the instruction, padding is masked."""
    batch = draw()
    assert (batch.ids[:, :IMAGE_TOKENS] == IMAGE_ID).all()
    for row, last in enumerate(batch.last.tolist()):
        assert batch.ids[row, last] == SEPARATOR_ID
        assert (batch.ids[row, IMAGE_TOKENS:last] > BEGIN_ID).all()
        words = tokenizer.decode(batch.ids[row, IMAGE_TOKENS:last].tolist())
        assert words.split()[0] in ('put', 'place', 'move', 'drop', 'stack', 'set')
    assert ((batch.ids == PAD_ID) == (batch.mask == 0)).all()


@pytest.mark.parametrize('instructions', [1.0, 0.0])
def test_every_position_is_asked_for_the_next_word(draw: Draw, instructions: float) -> None:
    """Labels are the ids shifted by one, from the separator to the last word of the answer."""
    batch = draw(instructions)
    asked = batch.labels != -100
    np.testing.assert_array_equal(batch.labels[:, :-1][asked[:, :-1]],
                                  batch.ids[:, 1:][asked[:, :-1]])
    np.testing.assert_array_equal(asked[:, :-1], batch.types[:, 1:] == 1)
    assert asked[torch.arange(len(asked)), batch.last].all()
    assert not asked[:, -1].any()


def test_without_answers_nothing_is_asked(draw: Draw) -> None:
    """In front of the action expert a prompt ends with the separator."""
    batch = draw(answers=False)
    assert (batch.labels == -100).all() and (batch.types == 0).all()
    assert (batch.mask.sum(1) == batch.last + 1).all()


def test_actions_are_the_experts(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken back to metres, labels are the chunk of the expert for the state and the task."""
    kept: list[expert.States] = []
    original = expert.chunk

    def chunk(states: expert.States, steps: int) -> tuple[FloatArray, FloatArray]:
        kept.append(states)
        return original(states, steps)

    monkeypatch.setattr(expert, 'chunk', chunk)
    batch = draw()
    deltas, widths = original(kept[0], CHUNK)
    metres = batch.actions.numpy() * batches.ACTION_STD + batches.ACTION_MEAN
    np.testing.assert_allclose(metres[..., :3], deltas, atol=1e-6)
    np.testing.assert_allclose(metres[..., 3], widths, atol=1e-6)
    assert set(np.unique(widths)) <= {0.0, MAX_WIDTH}
    state = batch.state.numpy() * batches.STATE_STD + batches.STATE_MEAN
    np.testing.assert_allclose(state[:, :3], kept[0].ee, atol=1e-6)
    np.testing.assert_allclose(state[:, 3], kept[0].width, atol=1e-6)
    vector = batch.vector.numpy()[:, :3] / 10
    np.testing.assert_allclose(vector, kept[0].target_position - kept[0].ee, atol=1e-5)


def test_pictures_are_those_of_the_states(draw: Draw, frames_folder: Path) -> None:
    """Every picture of a batch is one of the shards', with the state taken at that moment."""
    batch = draw()
    everything = read(frames_folder)
    images = np.concatenate([shard.images for shard in everything])
    states = np.concatenate([shard.states for shard in everything])
    for frame in range(FRAMES):
        shown = ((batch.pixels[frame].numpy() + 1) * 127.5).round().astype(np.uint8)
        match = (images == shown.transpose(0, 2, 3, 1)).reshape(len(images), -1).all(1)
        assert match.sum() == 1
        state = batch.state[frame * REPEATS].numpy() * batches.STATE_STD + batches.STATE_MEAN
        np.testing.assert_allclose(state[:3], states[match][0]['ee'], atol=1e-6)


def test_questions_have_no_task(draw: Draw) -> None:
    """The direction to the place is a label only where a task says which place."""
    assert draw(1.0).vector_known.all()
    assert not draw(0.0).vector_known[:, 1].any()


def test_indices_are_patches(draw: Draw) -> None:
    """Patch labels are in the picture or -1, offsets within half a patch."""
    batch = draw()
    for index, offset in ((batch.patch, batch.offset), (batch.thing, batch.thing_offset)):
        assert index.min() >= -1 and index.max() < PATCHES
        assert offset.abs().max() <= 0.5
        assert (offset[index == -1] == 0).all()
    assert batch.position.shape == (FRAMES * REPEATS, 2, 2, 3)


def test_a_seed_is_a_batch(draw: Draw) -> None:
    """The same generator draws the same batch, every tensor; another one differs."""
    first, again, other = draw(0.5), draw(0.5), draw(0.5, seed=1)
    for field in fields(Batch):
        assert torch.equal(getattr(first, field.name), getattr(again, field.name)), field.name
    assert not torch.equal(first.pixels, other.pixels)


def test_new_shards_are_found(tmp_path: Path, frames_folder: Path) -> None:
    """What another process finishes meanwhile is drawn from after a refresh, at its share."""
    (shard, *_) = read(frames_folder)
    write(tmp_path, 'still-0000', shard.images, shard.states)
    source = Source(tmp_path, {'still': 0.5, 'visit': 0.5})
    assert set(source.draw(20, np.random.default_rng(0))[2]) == {'still'}
    write(tmp_path, 'visit-0000', shard.images, shard.states)
    assert source.refresh() == 2 * len(shard)
    assert set(source.draw(20, np.random.default_rng(0))[2]) == {'still', 'visit'}
