# SPDX-License-Identifier: Apache-2.0
"""The solver finds the plan that loses least among those that meet the budget."""

from itertools import combinations, product
from typing import Any

import numpy as np
import pytest

from vla_drop_ros.errors import PlanError
from vla_drop_ros.pruning.layout import Layout, StackLayout
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.prediction import blocks_gone, predict
from vla_drop_ros.pruning.ranking import CriterionRanking, Ranking, UnitRanking
from vla_drop_ros.pruning.solver import Request, solve, solve_widths

DEPTHS = {'vision': 4, 'language': 4, 'action': 4}
SAVED: dict[str, dict[str, float]] = {
    'vision': {'block': 10, 'attention': 4, 'mlp': 6, 'channel': 0.5, 'head': 2},
    'language': {'block': 20, 'tied': 35, 'attention': 8, 'mlp': 12, 'channel': 1, 'head': 3},
    'action': {'block': 15, 'attention': 5, 'mlp': 10, 'channel': 0.5, 'head': 1}}


def ranking(seed: int = 0, **costs: Any) -> Ranking:
    """Return random scores of a pi0-like model whose blocks have simple costs."""
    rng = np.random.default_rng(seed)
    modes = {'vision': ('whole', 'mha', 'mlp'), 'language': ('tied', 'keep-kv', 'mha', 'mlp'),
             'action': ('whole', 'mha', 'mlp')}
    layout = Layout({name: StackLayout(
        depth, (), modes[name], 'action' if name == 'language' else '',
        {i: i for i in range(depth)} if name == 'language' else {}, (8,) * depth, (2,) * depth)
        for name, depth in DEPTHS.items()}, protected={'model.projector': 'it joins'})
    units: dict[str, dict[str, UnitRanking]] = {}
    for name, depth in DEPTHS.items():
        for unit in SAVED[name]:
            values: Any = rng.uniform(0, 1, depth)
            extra: dict[str, Any] = {}
            if unit in ('channel', 'head'):
                values = [rng.uniform(0, 1, 8 if unit == 'channel' else 2) for _ in range(depth)]
                extra = {'probe': {'low': [[0.25, 0.01 * depth, 0.0], [0.5, 0.05 * depth, 0.0]],
                                   'high': [[0.25, 0.9, 0.0], [0.5, 1.8, 0.0]]},
                         'direction': 'low'}
            units.setdefault(unit, {})[name] = UnitRanking(values, extra=extra)
    def cost(total: float, scale: float) -> dict[str, Any]:
        return {'total': total, 'units': {
            name: {unit: [scale * saved] * DEPTHS[name] for unit, saved in found.items()}
            for name, found in SAVED.items()}}
    return Ranking(
        {'path': 'x', 'name': 'x', 'sha256': 'ab' * 32, 'family': 'pi0'}, layout,
        {'gateprobe': CriterionRanking('keep', 'test', 0.0, units)},
        costs={'parameters': cost(200.0, 1.0), 'flops': cost(400.0, 2.0), 'latency': {
            'total': 0.1, 'units': {name: {unit: 4e-4 * saved for unit, saved in found.items()}
                                    for name, found in SAVED.items()}}, **costs})


def importance(found: Ranking, unit: str, stack: str) -> np.ndarray:
    """Return the importance of blocks."""
    return found.criteria['gateprobe'].importance(unit, stack)


def test_numbers_take_the_least_important() -> None:
    """In the default mode of each stack, or the one that was asked for."""
    found = ranking()
    plan = solve(found, Request('gateprobe', {'language': 2, 'vision': 1}))
    order = np.argsort(importance(found, 'tied', 'language'))
    assert plan.blocks['language'] == {'tied': tuple(sorted(order[:2]))}
    plan = solve(found, Request('gateprobe', {'language': 2}, modes={'language': 'mha'}))
    order = np.argsort(importance(found, 'attention', 'language'))
    assert plan.blocks == {'language': {'mha': tuple(sorted(order[:2]))}}
    assert plan.checkpoint == 'ab' * 32
    assert plan.origin['criterion']['name'] == 'gateprobe'
    assert plan.origin['predicted']['parameters'] == 200 - 2 * 8


@pytest.mark.parametrize('seed', range(6))
@pytest.mark.parametrize('budget', [{'params': 0.7}, {'latency': 0.07}, {'flops': 0.5},
                                    {'params': 0.8, 'latency': 0.075}])
def test_a_budget_is_met_at_the_least_loss(seed: int, budget: dict[str, float]) -> None:
    """As good as the best of all plans in the same modes, tried one by one."""
    found = ranking(seed)
    plan = solve(found, Request('gateprobe', budget=budget))
    best = np.inf
    for vision in subsets(4):
        for language in subsets(4):
            for action in subsets(4):
                if set(language) & set(action) or len(language) + len(action) > 3:
                    continue
                candidate = Plan({'vision': {'whole': vision}, 'language': {'tied': language},
                                  'action': {'whole': action}})
                if met(found, candidate, budget):
                    best = min(best, lost(found, candidate))
    assert met(found, plan, budget)
    assert lost(found, plan) == pytest.approx(best)


def subsets(depth: int) -> list[tuple[int, ...]]:
    """Return all choices that leave a block."""
    return [choice for size in range(depth) for choice in combinations(range(depth), size)]


def lost(found: Ranking, plan: Plan) -> float:
    """Return the importance that a plan loses."""
    units = {'whole': 'block', 'tied': 'tied'}
    return sum(float(importance(found, units[mode], stack)[list(indices)].sum())
               for stack, modes in plan.blocks.items() for mode, indices in modes.items())


def met(found: Ranking, plan: Plan, budget: dict[str, float]) -> bool:
    """Return whether a plan meets a budget."""
    left = predict(found.costs or {}, found.layout, plan)
    scales = {'params': ('parameters', 200.0), 'flops': ('flops', 400.0),
              'latency': ('latency', 1.0)}
    return all(left[scales[name][0]] / scales[name][1] <= bound + 1e-12
               for name, bound in budget.items())


def test_a_number_of_blocks_is_a_budget_too() -> None:
    """Exactly so many, from whichever stacks lose least."""
    plan = solve(ranking(), Request('gateprobe', budget={'blocks': 4}))
    assert sum(len(found) for modes in plan.blocks.values() for found in modes.values()) == 4


def test_protected_blocks_and_other_stacks_are_left_alone() -> None:
    """A budget takes only from where it may."""
    found = ranking()
    plan = solve(found, Request('gateprobe', budget={'params': 0.75}, stacks=('language',),
                                protect={'language': (0, 1)}))
    assert set(plan.blocks) == {'language'}
    assert not {0, 1} & set(plan.blocks['language']['tied'])


def test_a_fixed_number_and_a_budget_work_together() -> None:
    """What is fixed stays fixed; the rest meets the budget."""
    plan = solve(ranking(), Request('gateprobe', {'vision': 1}, {'params': 0.7}))
    assert len(plan.blocks['vision']['whole']) == 1
    assert plan.origin['predicted']['parameters'] <= 140


def test_widths_join_blocks_but_not_in_blocks_that_go() -> None:
    """Channels of a removed block are not mentioned."""
    found = ranking()
    plan = solve(found, Request('gateprobe', {'language': 2}, channels={'language': 0.5},
                                heads={'vision': 0.5}, even=True))
    gone = blocks_gone(found.layout, plan, 'language')
    assert set(plan.channels['language']) == set(range(4)) - gone
    assert all(len(units) == 4 for units in plan.channels['language'].values())
    assert all(len(units) == 1 for units in plan.heads['vision'].values())


def test_the_joint_scheme_takes_the_cheapest_probed_shares() -> None:
    """The least added loss that meets the budget, in the direction that was tolerated."""
    found = ranking()
    for bound in (0.97, 0.9, 0.8):
        plan = solve_widths(found, Request('gateprobe', budget={'params': bound}))
        assert plan.origin['predicted']['parameters'] <= 200 * bound
        added = sum(
            {0: 0.0, 0.25: 0.01, 0.5: 0.05}[taken / total] * DEPTHS[stack]
            for widths, each in ((plan.channels, 8), (plan.heads, 2)) for stack in widths
            for total in [each * DEPTHS[stack]]
            for taken in [sum(map(len, widths[stack].values()))])
        assert added == pytest.approx(cheapest(200 * (1 - bound)))
    with pytest.raises(PlanError, match='nearest is over by'):
        solve_widths(found, Request('gateprobe', budget={'params': 0.1}))
    with pytest.raises(PlanError, match='--width needs a budget'):
        solve_widths(found, Request('gateprobe'))


def cheapest(saved: float) -> float:
    """Return the least added loss of all combinations of probed shares that save so much."""
    modules = [[(0.0, 0.0), (0.01 * depth, 0.25 * each * depth * SAVED[stack][unit]),
                (0.05 * depth, 0.5 * each * depth * SAVED[stack][unit])]
               for unit, each in (('channel', 8), ('head', 2)) for stack, depth in DEPTHS.items()]
    return min(sum(loss for loss, _ in choice) for choice in product(*modules)
               if sum(gain for _, gain in choice) >= saved - 1e-9)


@pytest.mark.parametrize(('request_', 'message'), [
    (Request('gateprobe', {'language': 4}), 'language has 4 blocks; 4 cannot go'),
    (Request('gateprobe', {'languages': 1}), "Did you mean 'language'"),
    (Request('gateprobe', {'projector': 1}), 'protected.*it joins'),
    (Request('gateprobe', {'language': 1}, modes={'language': 'whole'}), 'valid: keep-kv, mha'),
    (Request('gateprobe', budget={'params': 70.0}), 'share between 0 and 1, such as 70%'),
    (Request('gateprobe', budget={'memory': 0.5}), 'unknown budget'),
    (Request('gateprobe', budget={'latency': 0.01}), 'no plan meets the budget.*over by'),
    (Request('gateprobe', budget={'params': 0.7}, protect={'language': (7,)}),
     r'block \[7\] cannot be protected'),
    (Request('gateprobe', {'audio': 1}), "unknown stack 'audio'"),
    (Request('gateprobe', channels={'language': 2.0}), 'between 0 and 1'),
    (Request('gateprobe', channels={'audio': 0.5}), 'no scores for the channels of audio'),
])
def test_bad_requests_are_refused(request_: Request, message: str) -> None:
    """Naming the bad value and what would do."""
    with pytest.raises(PlanError, match=message):
        solve(ranking(), request_)


def test_a_budget_without_measured_costs_is_refused() -> None:
    """A ranking without timing cannot promise a latency."""
    with pytest.raises(PlanError, match='no costs for the budget .latency.*--no-latency'):
        solve(ranking(latency=None), Request('gateprobe', budget={'latency': 0.05}))


def test_greedy_is_weighed_by_its_own_losses() -> None:
    """Its scores are steps; what it measured on the way is what a budget compares."""
    found = ranking()
    steps = UnitRanking(np.array([3.0, 1.0, 0.0, 2.0]), extra={'loss': [0.1, 0.2, 5.0]})
    greedy = CriterionRanking('keep', 'test', 0.0, {'tied': {'language': steps}})
    found = Ranking(found.checkpoint, found.layout, {'greedy': greedy}, costs=found.costs)
    plan = solve(found, Request('greedy', budget={'params': 0.7}))
    assert plan.blocks == {'language': {'tied': (1, 2)}}
