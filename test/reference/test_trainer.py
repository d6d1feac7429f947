# SPDX-License-Identifier: Apache-2.0
"""The loop: the schedule, and that an interruption leaves no trace in the weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from vla_drop_ros.reference.losses import Parts
from vla_drop_ros.reference.trainer import learning_rate, Trainer, WARM_UP

STEPS = 12


def start(folder: Path) -> Trainer:
    """Return a trainer of a tiny network; its first weights are always the same."""
    torch.manual_seed(5)
    network = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1))
    return Trainer({'network': network}, folder, STEPS, 0.05, seed=1)


def train(trainer: Trainer, until: int | None = None, every: int = 4, killed_at: int = -1) -> None:
    """Fit a line, with noise from numpy and from torch."""
    def losses(rng: np.random.Generator, step: int) -> Parts:
        if step == killed_at:
            raise KeyboardInterrupt
        inputs = torch.from_numpy(rng.normal(size=(16, 3))).float()
        wrong = trainer.modules['network'](inputs)[:, 0] - inputs.sum(1)
        return {'fit': (wrong ** 2).mean(), 'size': wrong.abs().mean()}

    trainer.run(losses, {'fit': 1.0, 'size': 0.1}, every, lambda average: {'held': 1.0}, until)


def weights(trainer: Trainer) -> list[torch.Tensor]:
    """Return all that training changes: weights, their average, the optimiser's moments."""
    moments = [value for entry in trainer.optimizer.state_dict()['state'].values()
               for value in entry.values()]
    return [*trainer.modules.state_dict().values(), *trainer.average.state_dict().values(),
            *moments]


def test_an_interruption_leaves_no_trace(tmp_path: Path) -> None:
    """Killed between two saves and started again, training ends with the very same weights."""
    whole = start(tmp_path / 'whole')
    train(whole)
    with pytest.raises(KeyboardInterrupt):
        train(start(tmp_path / 'parts'), killed_at=7)
    resumed = start(tmp_path / 'parts')
    assert resumed.step == 4
    train(resumed)
    assert resumed.step == whole.step == STEPS
    for one, other in zip(weights(whole), weights(resumed), strict=True):
        assert torch.equal(one, other)


def test_stopping_on_the_way_changes_nothing(tmp_path: Path) -> None:
    """Trained in three calls or in one, the weights are the same, and a finished run is kept."""
    whole, parts = start(tmp_path / 'whole'), start(tmp_path / 'parts')
    train(whole)
    for until in (3, 7, None):
        train(parts, until)
    for one, other in zip(weights(whole), weights(parts), strict=True):
        assert torch.equal(one, other)
    before = [weight.clone() for weight in weights(whole)]
    train(whole)
    assert all(torch.equal(a, b) for a, b in zip(before, weights(whole), strict=True))


def test_it_learns(tmp_path: Path) -> None:
    """The logged loss falls, and the curve has a line for every save with what was measured."""
    trainer = start(tmp_path)
    trainer.steps = 120
    train(trainer, every=40)
    records = [json.loads(line) for line in (tmp_path / 'curve.jsonl').read_text().splitlines()]
    assert [record['step'] for record in records] == [40, 80, 120]
    assert {'fit', 'size', 'held', 'seconds', 'steps_per_second'} <= set(records[0])
    assert records[-1]['fit'] < records[0]['fit']


def test_a_torn_save_does_not_count(tmp_path: Path) -> None:
    """A state half written when the power went is ignored: the last whole one is used."""
    train(start(tmp_path), until=4)
    (tmp_path / 'state.new').write_bytes(b'half a state')
    assert start(tmp_path).step == 4


def test_the_average_follows(tmp_path: Path) -> None:
    """The average is made of weights, differs from the last ones, and takes no gradient."""
    trainer = start(tmp_path)
    train(trainer)
    for mean, last in zip(trainer.average.parameters(), trainer.modules.parameters(), strict=True):
        assert not mean.requires_grad and last.requires_grad
        assert not torch.equal(mean, last)
        assert (mean - last).abs().max() < 0.5


def test_schedule() -> None:
    """The rate rises from nothing, stays at its peak, and falls in the last quarter."""
    rates = [learning_rate(step, 2000, 1e-3) for step in range(2000)]
    assert rates[0] == pytest.approx(1e-3 / WARM_UP)
    assert all(a < b for a, b in zip(rates[:WARM_UP - 1], rates[1:WARM_UP], strict=True))
    assert rates[WARM_UP:1500] == [1e-3] * (1500 - WARM_UP)
    assert all(a >= b for a, b in zip(rates[1500:-1], rates[1501:], strict=True))
    assert rates[-1] == pytest.approx(0.02 * 1e-3)
