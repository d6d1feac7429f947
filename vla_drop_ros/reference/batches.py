# SPDX-License-Identifier: Apache-2.0
"""Draw training batches: pictures, several prompts a picture, answers, pointing and actions."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer
import torch

from vla_drop_ros.policies.prompt import encode_instructions, pixels, word_ids
from vla_drop_ros.reference import questions
from vla_drop_ros.reference.frames import Frames, read
from vla_drop_ros.reference.model import ACTION_DIM, CHUNK, IMAGE_TOKENS
from vla_drop_ros.simulation import expert
from vla_drop_ros.simulation.environment import POLICY_CAMERAS
from vla_drop_ros.simulation.scene import MAX_WIDTH
from vla_drop_ros.simulation.tasks import GOALS

# Statistics of the labels, fixed so that every run and shard agrees: metres.
STATE_MEAN, STATE_STD = (0.47, 0.0, 0.12, 0.06), (0.10, 0.13, 0.08, 0.02)
ACTION_MEAN, ACTION_STD = (0.0, 0.0, 0.0, MAX_WIDTH / 2), (0.018, 0.018, 0.024, MAX_WIDTH / 2)


@dataclass(frozen=True, slots=True)
class Batch:
    """F frames with K prompts each, B = F * K samples.

    Attributes:
        pixels: (F, C, 3, H, W); ids, mask: (B, T); labels: (B, T), -100 where nothing is asked;
        types: (B, T), 1 for answer tokens.
        last: index of the separator, (B,).
        patch: (B, C, 2) patch index of object and place, -1 unknown; offset: (B, C, 2, 2).
        vector: (B, 6) object - tool and place - tool, decimetres; vector_known: (B, 2).
        thing: (F, C, THINGS) patch index of colours and tool; thing_offset: (F, C, THINGS, 2).
        thing_position: (F, C, THINGS, 3); position: (B, C, 2, 3) of object and place, decimetres.
        state: (B, 4) and actions: (B, CHUNK, 4), normalised.

    """

    pixels: torch.Tensor
    ids: torch.Tensor
    mask: torch.Tensor
    types: torch.Tensor
    labels: torch.Tensor
    last: torch.Tensor
    patch: torch.Tensor
    offset: torch.Tensor
    vector: torch.Tensor
    vector_known: torch.Tensor
    state: torch.Tensor
    actions: torch.Tensor
    thing: torch.Tensor
    thing_offset: torch.Tensor
    thing_position: torch.Tensor
    position: torch.Tensor


class Source:
    """Shards of frames and how often each kind is drawn."""

    def __init__(self, folder: Path, weights: dict[str, float]) -> None:
        """Map the shards; ``weights`` by the first word of their name (still, demo, visit)."""
        self.folder, self.weights = folder, weights
        self.shards: dict[str, list[Frames]] = {}
        self.refresh()

    def refresh(self) -> int:
        """Look for new shards; return the number of frames."""
        names = sorted(path.name for path in self.folder.glob('*.states.npy'))
        frames = read(self.folder)
        self.shards = {kind: [shard for name, shard in zip(names, frames, strict=True)
                              if name.startswith(kind)] for kind in self.weights}
        return sum(len(shard) for shards in self.shards.values() for shard in shards)

    def draw(self, count: int, rng: np.random.Generator,
             ) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Return images (count, C, H, W, 3), states (count,) and the kind of each."""
        kinds = [kind for kind in self.weights if self.shards[kind]]
        weights = np.array([self.weights[kind] for kind in kinds])
        chosen = [kinds[i] for i in rng.choice(len(kinds), count, p=weights / weights.sum())]
        images, states = [], []
        for kind in chosen:
            shards = self.shards[kind]
            shard = shards[rng.integers(len(shards))]
            index = rng.integers(len(shard))
            images.append(shard.images[index])
            states.append(shard.states[index])
        return np.stack(images), np.array(states), chosen


def make_batch(source: Source, tokenizer: Tokenizer, rng: np.random.Generator, frames: int,
               repeats: int, instructions: float, answers: bool = True) -> Batch:
    """Draw a batch; a share ``instructions`` of the prompts are instructions, the rest questions.

    ``answers`` False leaves the answers out, as in front of the action expert.
    """
    images, states, kinds = source.draw(frames, rng)
    asked: list[questions.Question] = []
    for state, kind in zip(states, kinds, strict=True):
        for _ in range(repeats):
            if rng.random() < instructions:
                keep = 0.0 if kind == 'still' else 0.7
                asked.append(questions.instruct(
                    state, questions.draw_task(state, rng, keep, 0.6), rng))
            else:
                asked.append(questions.ask(state, rng))
    return _assemble(pixels(images), states, asked, tokenizer, answers)


def states_of(rows: np.ndarray, asked: list[questions.Question]) -> expert.States:
    """Return what the expert sees for each sample (questions without a task get a dummy one)."""
    tasks = [question.task for question in asked]
    return expert.States(
        rows['ee'].astype(float), rows['width'].astype(float), rows['objects'].astype(float),
        np.array([GOALS.index(task.goal) if task else 0 for task in tasks]),
        np.array([task.target if task else 0 for task in tasks]),
        np.array([(task.reference or 0) if task else 0 for task in tasks]))


def _assemble(images: torch.Tensor, frames: np.ndarray, asked: list[questions.Question],
              tokenizer: Tokenizer, with_answers: bool) -> Batch:
    rows = np.repeat(frames, len(asked) // len(frames))
    answers = [word_ids(tokenizer, question.answer) if with_answers else []
               for question in asked]
    prompts = [question.prompt for question in asked]
    lengths = [len(word_ids(tokenizer, prompt)) for prompt in prompts]
    total = IMAGE_TOKENS + max(n + 1 + len(a) for n, a in zip(lengths, answers, strict=True))
    ids, mask = encode_instructions(tokenizer, prompts, IMAGE_TOKENS, total)
    labels, types = torch.full_like(ids, -100), torch.zeros_like(ids)
    last = torch.tensor([IMAGE_TOKENS + length for length in lengths])
    for row, answer in enumerate(answers):
        begin = int(last[row])
        ids[row, begin + 1:begin + 1 + len(answer)] = torch.tensor(answer, dtype=torch.long)
        mask[row, begin + 1:begin + 1 + len(answer)] = 1
        types[row, begin + 1:begin + 1 + len(answer)] = 1
        labels[row, begin:begin + len(answer)] = torch.tensor(answer, dtype=torch.long)
    found = [questions.patches(state, question.points)
             for state, question in zip(rows, asked, strict=True)]
    states = states_of(rows, asked)
    known = np.array([[question.points[0] >= 0, question.task is not None] for question in asked])
    object_positions = np.stack([state['objects'][max(question.points[0], 0)]
                                 for state, question in zip(rows, asked, strict=True)])
    vector = np.concatenate([object_positions - rows['ee'],
                             expert.goal_position(states) - rows['ee']], 1) * 10.0
    deltas, widths = expert.chunk(states, CHUNK)
    actions = np.concatenate([deltas, widths[..., None]], -1)
    state = np.column_stack([rows['ee'], rows['width']])
    thing, thing_offset = questions.things(frames)

    def tensor(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).float()

    assert actions.shape[2] == ACTION_DIM  # noqa: S101 - shape of our own label
    return Batch(
        images, ids, mask, types, labels, last, torch.from_numpy(np.stack([f[0] for f in found])),
        tensor(np.stack([f[1] for f in found])), tensor(vector), torch.from_numpy(known),
        tensor((state - STATE_MEAN) / STATE_STD), tensor((actions - ACTION_MEAN) / ACTION_STD),
        torch.from_numpy(thing), tensor(thing_offset), tensor(questions.thing_positions(frames)),
        tensor(questions.positions(rows)[
            np.arange(len(rows))[:, None, None], np.arange(len(POLICY_CAMERAS))[None, :, None],
            np.array([question.points for question in asked])[:, None]]))
