# SPDX-License-Identifier: Apache-2.0
"""What the recorder hears is the residual stream, whole and in order, and it leaves no trace."""

from typing import Any

import torch

from vla_drop_ros.families.family import stacks
from vla_drop_ros.policies.calibration import Calibration
from vla_drop_ros.pruning.activations import by_sample, Recorder, rows_mask


def test_states_are_the_inputs_of_the_blocks(
        tiny_policy: Any, calibration: Calibration) -> None:
    """h_i is what hooks on the blocks see, h_depth what the last block gave."""
    family, model, batch = tiny_policy.family, tiny_policy.model, calibration.batches[0]
    blocks, seen = stacks(family, model)['vision'].blocks, {}
    handles = [block.register_forward_hook(
        lambda _block, given, out, index=index: seen.update({index: (given[0], out)}))
        for index, block in enumerate(blocks)]
    with torch.no_grad(), Recorder(family, model) as recorder:
        family.loss(model, batch)
    for handle in handles:
        handle.remove()
    states = recorder.inputs['vision']
    assert [len(found) for found in states] == [1] * 4
    for index, (given, out) in seen.items():
        assert torch.equal(states[index][0], given)
        following = out[0] if isinstance(out, tuple) else out
        assert torch.equal(states[index + 1][0], following)
        middle = recorder.middles['vision'][index][0]
        assert not torch.equal(middle, given) and not torch.equal(middle, following)


def test_it_leaves_no_trace(tiny_policy: Any, calibration: Calibration) -> None:
    """Hooks are gone afterwards, also when the model failed."""
    family, model = tiny_policy.family, tiny_policy.model
    try:
        with Recorder(family, model):
            raise RuntimeError
    except RuntimeError:
        pass
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    recorder = Recorder(family, model, gradients=True)
    with recorder:
        family.loss(model, calibration.batches[0]).sum().backward()
    assert all(state.grad is not None for state in recorder.inputs['action'][0])
    recorder.clear()
    assert not any(recorder.inputs['action'])


def test_rows_of_a_sample_are_summed_together() -> None:
    """Leading rows belong to samples in order, several to each."""
    values = torch.arange(12.0).reshape(4, 3)
    assert by_sample(values, 2).tolist() == [15.0, 51.0]


def test_masks_are_spread_and_lengthened() -> None:
    """Rows repeat for draws, tokens behind the prompt count, and no mask counts all."""
    hidden = torch.zeros(4, 5, 2)
    mask = torch.tensor([[1, 1, 0], [1, 0, 0]])
    assert rows_mask(mask, hidden).int().tolist() == [
        [1, 1, 0, 1, 1], [1, 1, 0, 1, 1], [1, 0, 0, 1, 1], [1, 0, 0, 1, 1]]
    assert rows_mask(None, hidden).all()
    assert rows_mask(mask, hidden[:2, :2]).int().tolist() == [[1, 1], [1, 0]]
