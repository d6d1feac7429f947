# SPDX-License-Identifier: Apache-2.0
"""Published masks: as printed in the papers, and refused where they do not fit."""

from collections.abc import Callable
from typing import Any

import pytest

from vla_drop_ros.errors import PlanError
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.registry import family_of
from vla_drop_ros.pruning.constraints import check_plan, layout_of
from vla_drop_ros.pruning.drop import apply_plan
from vla_drop_ros.pruning.presets import Preset, preset, presets

# What the papers and their model cards say is kept, or removed.
PUBLISHED = {
    'dtr-pi05-uniform-9': ('language', 18, [1, 3, 5, 7, 9, 11, 13, 15, 17]),
    'dtr-pi05-fisher-9': ('language', 18, list(range(9, 18))),
    'dtr-pi05-contiguous-9': ('language', 18, list(range(2, 11))),
    'dtr-pi05-gateprobe-libero-plus-9': ('language', 18, [2, *range(10, 18)]),
    'dtr-pi05-gateprobe-turn-switch-9': ('language', 18, [7, 8, 10, 11, 12, 14, 15, 16, 17]),
    'dtr-pi05-gateprobe-16': ('language', 18, [1, 2, 3, 4, *range(6, 18)]),
    'dtr-pi05-endpoints-16': ('language', 18, list(range(1, 17))),
    'dtr-pi05-vision-half': ('vision', 27, list(range(1, 27, 2))),
    'dtr-pi05-vision-endpoints': ('vision', 27, list(range(1, 26))),
    'dtr-pi05-action-endpoints': ('action', 18, list(range(1, 17))),
    'dtr-openvla-oft-uniform-16': ('language', 32, list(range(1, 32, 2))),
    'dtr-openvla-oft-endpoints-30': ('language', 32, list(range(1, 31))),
    'clp-pi0-6': ('language', 18, [1, 2, 4, 6, 8, 9]),
    'clp-smolvla-6': ('language', 16, [1, 2, 5, 6, 14, 15]),
}


@pytest.mark.parametrize('name', PUBLISHED)
def test_masks_are_the_published_ones(name: str) -> None:
    """Blocks that go, of a stack of the published depth."""
    stack, depth, gone = PUBLISHED[name]
    found = preset(name)
    assert (found.depth, list(found.removed(stack))) == ({stack: depth}, gone)
    assert 'arXiv 2606.' in found.source


def test_every_preset_is_checked_here() -> None:
    """None is shipped that this file does not compare."""
    assert set(presets()) == set(PUBLISHED)


@pytest.mark.parametrize('name', [name for name in PUBLISHED if 'pi0' in name])
def test_pi_masks_can_be_carried_out(name: str, tiny_model: Callable[..., Any]) -> None:
    """On a model as deep as the published one, of a few thousand numbers."""
    found = preset(name)
    model = tiny_model(language=18 if 'vision' not in found.depth else 4,
                       vision=found.depth.get('vision', 1))
    family = family_of(model)
    plan = found.plan('pi0', layout_of(family, model), '')
    check_plan(family, model, plan)
    apply_plan(family, model, plan, Journal())
    assert family.act(model, *family.fixed_inputs(model, 2, 1)).isfinite().all()


def test_another_depth_or_family_is_refused(tiny_model: Callable[..., Any]) -> None:
    """A mask means nothing for a stack of another depth."""
    model = tiny_model()
    layout = layout_of(family_of(model), model)
    with pytest.raises(PlanError, match='is for 18 language blocks, the checkpoint has 4'):
        preset('clp-pi0-6').plan('pi0', layout, '')
    with pytest.raises(PlanError, match="for the family 'smolvla'"):
        preset('clp-smolvla-6').plan('pi0', layout, '')
    with pytest.raises(PlanError, match="Did you mean 'clp-pi0-6'"):
        preset('clp-pi-6')


def test_a_stack_that_is_not_named_is_left_alone() -> None:
    """Neither keep nor drop: nothing goes."""
    assert Preset('x', '', 'pi0', {'vision': 3}).removed('vision') == ()
