# SPDX-License-Identifier: Apache-2.0
"""Hundreds of swaps of real checkpoints beside a real gate, on a machine that has other work.

The checkpoints are random and tiny, but files on disk, verified and loaded as any other.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, ExitStack
import json
from pathlib import Path
import random
import shutil
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.manifest import file_sha256, load_manifest
from vla_drop_ros.runtime.memory import process_memory

pytestmark = [pytest.mark.ros, pytest.mark.slow]

GOOD = ('a', 'b', 'c')
REASONS = {
    'missing': 'does not exist', 'cut': 'not a whole safetensors file',
    'language': 'action.reference', 'statistics': 'is normalised otherwise than the running one'}
SWAPS, REFUSALS = 200, 60
RATE = 20.0        # [Hz] of the control loop, as the contract of the simulated arm says
TOLERATED = 0.02   # ticks a swap that may fail to come beyond those of who only sleeps
MEBIBYTE = 2**20
GROWTH = 4.0       # [MiB] over the second half that an allocator may take and give
BURN = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
while True:
    pass
"""


@pytest.fixture(name='paths')
def _paths(tmp_path: Path, write_prismatic: Callable[..., Any], tiny_prismatic: Callable[..., Any],
           one_thread: None) -> dict[str, Path]:
    """Return three checkpoints of one baseline, and what must not answer by what is wrong."""
    tower = {'num_attention_heads': 2, 'image_size': 20, 'patch_size': 10, 'num_hidden_layers': 1}
    model = tiny_prismatic(  # one block a stack: what a load takes grows with the blocks
        dino_config={**tower, 'hidden_size': 16, 'mlp_ratio': 2, 'num_register_tokens': 2},
        siglip_config={**tower, 'hidden_size': 12, 'intermediate_size': 24,
                       'vision_use_head': False},
        text_config={'hidden_size': 24, 'num_hidden_layers': 1, 'num_attention_heads': 4,
                     'num_key_value_heads': 2, 'intermediate_size': 32, 'vocab_size': 14,
                     'pad_token_id': 0, 'bos_token_id': 3, 'eos_token_id': 4})
    paths = {name: tmp_path / name for name in (*GOOD, *REASONS)}
    for name in GOOD:
        write_prismatic(paths[name], model, name=name)
    for name in ('cut', 'language', 'statistics'):
        shutil.copytree(paths['a'], paths[name])
    weights = (paths['cut'] / 'model.safetensors').read_bytes()
    (paths['cut'] / 'model.safetensors').write_bytes(weights[:-1000])
    change(paths['language'], lambda data: data['action_spec'].update(reference='absolute'))
    numbers = paths['statistics'] / 'normalization.json'
    found = json.loads(numbers.read_text())
    found['action']['mean'][0] += 0.01
    numbers.write_text(json.dumps(found))
    digest = file_sha256(numbers)
    change(paths['statistics'], lambda data: (
        data.update(normalization_sha256=digest), data['files'].update({numbers.name: digest})))
    return paths


def change(folder: Path, how: Callable[[Any], object]) -> None:
    """Change a manifest."""
    path = folder / 'manifest.json'
    data = json.loads(path.read_text())
    how(data)
    path.write_text(json.dumps(data))


@contextmanager
def burner() -> Iterator[None]:
    """Let a process compute without a pause; it ends with this one, whatever happens."""
    process = subprocess.Popen([sys.executable, '-c', BURN], stdin=subprocess.PIPE)
    try:
        yield
    finally:
        process.kill()
        process.communicate()


class Watch:
    """Asks for checkpoints, and looks at each chunk in the thread that has made it.

    Attributes:
        made: chunks since the beginning.
        newest: hash of the checkpoint that made the last one.
        strangers: hashes of checkpoints that nobody had asked for when they answered.

    """

    def __init__(self, bench: Any, hashes: Mapping[str, str], first: str) -> None:
        """Listen to the node of ``bench``, in which ``first`` answers."""
        self.bench, self.hashes, self.operator = bench, hashes, bench.operator()
        self.made, self.newest, self.strangers = 0, '', set[str]()
        self.wanted = first
        self.may_answer = {hashes[first]}
        on_chunk = bench.policy.on_chunk

        def noted(chunk: Any, work: Any) -> None:
            if chunk.checkpoint not in self.may_answer or not np.isfinite(chunk.actions).all():
                self.strangers.add(chunk.checkpoint)
            self.made, self.newest = self.made + 1, chunk.checkpoint
            on_chunk(chunk, work)

        bench.policy.on_chunk = noted

    def ask(self, name: str, path: Path) -> Any:
        """Ask for a checkpoint over the service; return the answer."""
        if name in GOOD:
            self.wanted = name
            self.may_answer = self.may_answer | {self.hashes[name]}
        return self.operator.ask(path)

    def wait(self, chunks: int) -> None:
        """Wait for more chunks, of whichever checkpoint."""
        before = self.made
        self.bench.until(lambda: self.made >= before + chunks, limit=60.0)

    def settle(self) -> None:
        """Wait until the one asked for last answers; from then on only that one may."""
        wanted = self.hashes[self.wanted]
        self.bench.until(lambda: self.bench.policy._worker.is_settled and self.newest == wanted,
                         limit=60.0)
        self.may_answer = {wanted}
        said = self.bench.seen['policy_node/checkpoint']
        self.bench.until(lambda: said[-1].data == wanted)

    def tidy(self) -> int:
        """Forget what was heard; return how many chunks that moved, all finite."""
        moves = self.bench.moves
        assert np.isfinite([point.positions for chunk in moves for point in chunk.points]).all()
        for topic in ('policy_node/heartbeat', 'policy_node/latency', 'policy_node/action_chunk'):
            del self.bench.seen[topic][:]
        del self.bench.seen['/diagnostics'][:-1]
        return len(moves)


def swap(watch: Watch, paths: Mapping[str, Path]) -> list[float]:
    """Ask for all in a random order; return the memory of this process on the way, [MiB]."""
    rng = random.Random(0)
    order = rng.choices(GOOD, k=SWAPS) + rng.choices(list(REASONS), k=REFUSALS)
    rng.shuffle(order)
    memory, moves = [], 0
    for count, name in enumerate(order):
        answer = watch.ask(name, paths[name])
        if name in GOOD:
            assert answer.successful, answer.reason
            held = watch.bench.policy._supply._resident.holds(str(paths[name]))
            if rng.random() < (0.3 if held else 0.08):  # a load takes long; newer ones overtake it
                watch.settle()
        else:
            assert not answer.successful and REASONS[name] in answer.reason, answer.reason
        watch.wait(rng.randrange(2) if name in GOOD else 1)
        moves += watch.tidy()
        if count % 5 == 4:
            memory.append((process_memory() or 0) / MEBIBYTE)
    watch.settle()
    assert moves > SWAPS / 2
    return memory


def test_hundreds_of_real_swaps_under_load(
        make: Callable[..., Any], policy_bench: Any, sealed_bench: Any,
        paths: dict[str, Path]) -> None:
    """Each takes over or makes way for a newer one, and no control tick fails to come."""
    from bench.child import Child
    from bench.swap import gaps
    bench = sealed_bench.with_real_ones(make(
        start=False, checkpoint=str(paths['a']), device='cpu', threads=1, resident=2,
        instruction='put the red cube in the left bin', replan_period=0.05))
    with ExitStack() as stack:
        gate = stack.enter_context(Child('bench.ticking_gate', {'robot': str(policy_bench.ROBOT)}))
        witness = stack.enter_context(Child('bench.witness', {'rate': RATE}))
        assert gate.expect('ready') and witness.expect('ready') and bench.policy.start()
        watch = Watch(bench, {name: load_manifest(paths[name]).short for name in GOOD}, 'a')
        watch.wait(5)
        stack.enter_context(burner())
        begin = time.monotonic()
        memory = swap(watch, paths)
        span = begin, time.monotonic()
        found = []
        for child in (gate, witness):
            child.ask(report=True)
            found.append(child.expect_all('ticks'))
    (missed, worst), (slept, worst_sleep) = (gaps(told['ticks'], span, RATE) for told in found)
    assert not watch.strangers, 'only what was asked for, or answered before, may answer'
    bench.until(lambda: 'checkpoints taken over' in bench.values)  # the gate's are between
    values = bench.values
    assert int(values['checkpoints taken over']) > SWAPS / 5
    assert 'inferences failed' not in values and 'checkpoints not loaded' not in values
    assert found[0]['executing'] > SWAPS / 2, 'the gate had chunks to execute'
    assert missed <= slept + TOLERATED * SWAPS, (
        f'{missed} ticks did not come, the worst after {worst:.3f} s; who only sleeps missed '
        f'{slept}, {worst_sleep:.3f} s')
    third, last = np.array_split(memory[len(memory) // 2:], 2)
    assert np.median(last) - np.median(third) < GROWTH, f'memory grows: {memory}'
