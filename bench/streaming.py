#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measure how much memory it takes to score a checkpoint that need not fit into it.

Writes a synthetic sharded policy of pi0's full size (3.5 billion parameters, bf16) and the
vision-language model it would come from (12 GB together, removed afterwards), and scores it by
magnitude and adaptation divergence in a process of its own, whose peak is what counts.
"""

import argparse
from collections.abc import Iterator, Sequence
import json
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import Any

from accelerate import init_empty_weights
from safetensors.torch import save_file
import torch
import transformers

from vla_drop_ros.errors import VlaDropError
from vla_drop_ros.families.registry import family
from vla_drop_ros.manifest import INDEX_FILE
from vla_drop_ros.pruning.criterion import criterion, Subject
from vla_drop_ros.weights import Weights

SHARD_BYTES = 10**9
CRITERIA = ('magnitude', 'divergence')
LIMIT = 4.0  # [GB]


def empty(config: Any) -> Any:
    """Return the policy of a configuration, or its vision-language model, without weights."""
    kind = (transformers.PI0ForConditionalGeneration if config.model_type == 'pi0'
            else transformers.PaliGemmaForConditionalGeneration)
    with init_empty_weights(include_buffers=False):
        return kind(config).eval()


def shards(model: Any, seed: int, limit: int) -> Iterator[dict[str, torch.Tensor]]:
    """Yield random bf16 tensors for the parameters of a model, in shards of at most ``limit``."""
    generator = torch.Generator().manual_seed(seed)
    numbers = torch.randn(2**22, generator=generator).mul(0.02).bfloat16()
    shard: dict[str, torch.Tensor] = {}
    size = 0
    for number, (name, parameter) in enumerate(model.named_parameters()):
        count = parameter.numel()
        if shard and size + 2 * count > limit:
            yield shard
            shard, size = {}, 0
        repeated = numbers.roll(number + seed).repeat(-(-count // numbers.numel()))[:count]
        shard[name] = repeated.reshape(parameter.shape).clone()
        size += 2 * count
    yield shard


def write(folder: Path, model: Any, seed: int, limit: int = SHARD_BYTES) -> int:
    """Write a sharded checkpoint of random weights; return its parameters."""
    folder.mkdir(parents=True)
    place: dict[str, str] = {}
    for number, shard in enumerate(shards(model, seed, limit)):
        file = f'model-{number:05d}.safetensors'
        save_file(shard, folder / file, metadata={'format': 'pt'})
        place.update(dict.fromkeys(shard, file))
    (folder / INDEX_FILE).write_text(json.dumps({'weight_map': place}))
    return sum(parameter.numel() for parameter in model.parameters())


def score(policy: Path, base: Path, config: Any) -> dict[str, float]:
    """Score by every criterion; return seconds each and the peak of this process, [GB]."""
    pi0, vlm = family('pi0'), family('paligemma')
    subject = Subject(
        pi0, empty(config), (), Weights(policy, pi0.module_name),
        (vlm, vlm.sites(config.vlm_config.to_dict()), Weights(base, vlm.module_name)))
    found = {}
    for name in CRITERIA:
        begin = time.perf_counter()
        blocks = sum(len(one.values) for one in criterion(name).measure(subject))
        found[f'{name} [s]'] = time.perf_counter() - begin
        if not blocks:
            raise VlaDropError(f'{name} scored nothing')
    found['peak [GB]'] = peak()
    return found


def peak() -> float:
    """Return the largest resident memory of this process so far, [GB].

    From the kernel's own mark: getrusage would also count the process that started this one.
    """
    status = Path('/proc/self/status').read_text()
    return int(next(line for line in status.splitlines() if line.startswith('VmHWM:')).split()[1]
               ) * 1024 / 1e9


def configuration(layers: int) -> Any:
    """Return pi0's configuration with as many language and action blocks."""
    config = transformers.PI0Config()
    config.vlm_config.text_config.num_hidden_layers = layers
    config.dit_config.num_hidden_layers = layers
    return config


def measure(arguments: Sequence[str] | None = None) -> int:
    """Print the report; return 0, 1 if the limit was exceeded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--layers', type=int, default=18,
                        help='language and action blocks; pi0 has 18 (default: 18)')
    parser.add_argument('--work', type=Path, help='where 12 GB fit (default: a temporary folder)')
    parser.add_argument('--score', nargs=2, type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    config = configuration(args.layers)
    if args.score:
        print(json.dumps(score(args.score[0], args.score[1], config)))
        return 0
    with tempfile.TemporaryDirectory(dir=args.work) as work:
        policy, base = Path(work, 'policy'), Path(work, 'base')
        count = write(policy, empty(config), 1)
        write(base, empty(config.vlm_config), 2)
        done = subprocess.run(
            [sys.executable, __file__, '--layers', str(args.layers), '--score', str(policy),
             str(base)], capture_output=True, text=True, check=False)
    if done.returncode:
        print(done.stderr, file=sys.stderr)
        return 2
    found = json.loads(done.stdout.splitlines()[-1])
    print(f'{count / 1e9:.2f} billion parameters, bf16, {2 * count / 1e9:.1f} GB: '
          + ', '.join(f'{name} {value:.1f}' for name, value in found.items())
          + f' (limit {LIMIT:.0f})')
    return 0 if found['peak [GB]'] <= LIMIT else 1


if __name__ == '__main__':
    sys.exit(measure())
