# SPDX-License-Identifier: Apache-2.0
"""Every constraint has a name, and a plan that breaks one is refused with it."""

from collections.abc import Callable
from typing import Any

import pytest

from vla_drop_ros.errors import PlanError
from vla_drop_ros.families.family import stacks
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.registry import family_of
from vla_drop_ros.pruning.constraints import check_plan, layout_of, reader_pairs
from vla_drop_ros.pruning.drop import apply_plan
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.plan import Plan

Maker = Callable[..., Any]
EVERY = tuple(range(4))


@pytest.mark.parametrize(('plan', 'message'), [
    (Plan({'vision': {'tied': (1,)}}), "unknown drop mode 'tied'; valid: mha, mlp, whole"),
    (Plan({'language': {'whole': (1,)}}), r'keep them \(keep-kv\) or drop both \(tied\)'),
    (Plan({'language': {'tied': (1,)}, 'action': {'whole': (1,)}}), 'it is tied to already'),
    (Plan({'language': {'tied': (1,)}, 'action': {'mlp': (1,)}}), 'it is tied to already'),
    (Plan({'language': {'keep-kv': EVERY}}), 'drops all 4 language blocks'),
    (Plan({'language': {'tied': (0, 1), 'keep-kv': (2, 3)}}), 'drops all 4 language blocks'),
    (Plan({'action': {'whole': (0, 1)}, 'language': {'tied': (2, 3)}}), 'all 4 action blocks'),
    (Plan({'multi_modal_projector': {'whole': (0,)}}), 'protected.*joins vision and language'),
    (Plan({'action_out_proj': {'whole': (0,)}}), 'protected.*no block'),
    (Plan(channels={'multi_modal_projector': {0: (1,)}}), 'protected'),
    (Plan(channels={'vision': {9: (1,)}}), r'vision block \[9\] does not exist'),
    (Plan(channels={'vision': {0: (32,)}}), r'channel \[32\] does not exist; it has 32'),
    (Plan(channels={'vision': {0: tuple(range(32))}}), 'leave at least one'),
    (Plan(heads={'vision': {0: (0, 1)}}), 'removes all 2 heads'),
    (Plan(heads={'languages': {0: (0,)}}), "Did you mean 'language'"),
])
def test_broken_constraints_are_named(tiny_model: Maker, plan: Plan, message: str) -> None:
    """Before anything is touched."""
    model = tiny_model()
    with pytest.raises(PlanError, match=message):
        check_plan(family_of(model), model, plan)


@pytest.mark.parametrize(('plan', 'message'), [
    (Plan({'language': {'keep-kv': (1,)}}), 'language blocks in mode keep-kv'),
    (Plan({'vision': {'mlp': (1,)}}), 'vision blocks in mode mlp'),
    (Plan({'action': {'whole': (1,)}}), 'action blocks in mode whole'),
    (Plan(channels={'vision': {0: (1,)}}), 'channels that differ'),
    (Plan(dead=True), 'nothing reads'),
])
def test_what_a_stock_loader_cannot_open_is_refused_on_request(
        tiny_model: Maker, plan: Plan, message: str) -> None:
    """The loader is named, and what it cannot express; without the request the plan is legal."""
    model = tiny_model()
    check_plan(family_of(model), model, plan)
    with pytest.raises(PlanError, match=f'PI0ForConditionalGeneration.*{message}'):
        check_plan(family_of(model), model, plan, stock=True)


@pytest.mark.parametrize('plan', [
    Plan({'vision': {'whole': (0,)}, 'language': {'tied': (1, 2)}}),
    Plan(channels={'action': dict.fromkeys(EVERY, (0, 3))}),
])
def test_what_a_stock_loader_opens_passes(tiny_model: Maker, plan: Plan) -> None:
    """Whole blocks, ties and even widths are what configurations can say."""
    model = tiny_model()
    check_plan(family_of(model), model, plan, stock=True)


@pytest.mark.parametrize(('first', 'second', 'message'), [
    ({'language': {'keep-kv': (1,)}}, {'language': {'keep-kv': (1,)}}, 'has no attention'),
    ({'language': {'mlp': (1,)}}, {'language': {'mlp': (1,)}}, 'has no mlp any more'),
    ({'vision': {'mha': (1,)}}, {'vision': {'mha': (1,)}}, 'has no attention'),
    ({'action': {'whole': (1,)}}, {'language': {'tied': (1,)}}, 'drop it with --dead'),
])
def test_what_is_gone_cannot_go_again(
        tiny_model: Maker, first: dict[str, Any], second: dict[str, Any], message: str) -> None:
    """A second drop of the same part says that an earlier one removed it."""
    model = tiny_model()
    family = family_of(model)
    apply_plan(family, model, Plan(first), Journal())
    with pytest.raises(PlanError, match=message):
        check_plan(family, model, Plan(second))


def test_pairs_follow_what_is_read(tiny_model: Maker) -> None:
    """After a reader is gone the blocks behind it are still paired with their own."""
    model = tiny_model()
    family = family_of(model)
    apply_plan(family, model, Plan({'action': {'whole': (1,)}}), Journal())
    pairs = reader_pairs(stacks(family, model), family.sites(family.config(model)), 'language')
    assert pairs == {0: 0, 2: 1, 3: 2}


def test_layout_is_plain_data(tiny_model: Maker) -> None:
    """What a plan needs to know survives JSON, and names what is protected."""
    model = tiny_model()
    layout = layout_of(family_of(model), model)
    assert Layout.from_dict(layout.to_dict()) == layout
    assert layout['language'].reader == 'action'
    assert layout['vision'].heads == (2, 2, 2) and layout['action'].channels == (24,) * 4
    with pytest.raises(PlanError, match='protected'):
        layout['projector']
    with pytest.raises(PlanError, match="Did you mean 'action'"):
        layout['actions']
