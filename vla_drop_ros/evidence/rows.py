# SPDX-License-Identifier: Apache-2.0
"""The rows of the evidence: which model, recovered how, over how many seeds and episodes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
import hashlib
from typing import Any

from vla_drop_ros.errors import PlanError, RankingError
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.pruning.ranking import Ranking
from vla_drop_ros.pruning.solver import Request, solve, solve_widths

# Criteria that rank blocks, and those that also rank channels and heads.
CONTROLS = ('uniform', 'random', 'keep-first', 'endpoints')
WIDTHS = ('divergence', 'divergence-relative', 'divergence-controlled', 'magnitude', 'wanda',
          'flap', 'taylor', 'random')
SHARES = (0.88, 0.80)  # of the parameters that the width schemes leave
SECTIONS = {
    'modules': 'Where is the redundancy? (Drop-Then-Recovery)',
    'longer': 'The same recovery, 3000 steps',
    'criteria': 'Which criterion? Language, half and 2 of 8 left',
    'twins': 'CKA twin layers: language and action blocks tied',
    'divergence': 'Adaptation divergence: narrower without recovery',
    'composition': 'Instructions never seen together',
    'teaching': 'Taught by the parent',
}
Probe = tuple[str, str]
OWN: tuple[Probe, ...] = (('nominal', 'own'),)
# Variant and probe of everything that is measured on the policies that would be used.
ROBUST: tuple[Probe, ...] = (
    ('lighting', 'own'), ('distractors', 'own'), ('camera', 'own'), ('start', 'own'),
    ('hard', 'own'), ('nominal', 'paraphrase'), ('nominal', 'swap'))


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a table.

    Attributes:
        section: key of ``SECTIONS``.
        name: what people read.
        plan: what goes; empty for the baseline.
        recipe: key of the recipes of ``study``; empty: no recovery.
        seeds: of the recovery.
        episodes: scenes from seed 0 on, of each probe.
        probes: variants and probes.
        headline: asks for three seeds and 200 episodes.

    """

    section: str
    name: str
    plan: Plan
    recipe: str = ''
    seeds: tuple[int, ...] = (0,)
    episodes: int = 100
    probes: tuple[Probe, ...] = OWN
    headline: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {**{name: getattr(self, name) for name in (
            'section', 'name', 'recipe', 'episodes', 'headline')}, 'seeds': list(self.seeds),
            'probes': ['/'.join(probe) for probe in self.probes],
            'units': [unit.key for unit in self.units()], 'plan': self.plan.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'Row':
        """Build from ``to_dict`` output."""
        values = {name: value for name, value in data.items() if name != 'units'}
        first, *rest = (probe.split('/') for probe in values['probes'])
        return cls(**{**values, 'seeds': tuple(values['seeds']),
                      'plan': Plan.from_dict(values['plan']),
                      'probes': tuple((variant, words) for variant, words in (first, *rest))})

    def units(self) -> Iterator['Unit']:
        """Yield what must be run for the row."""
        for seed in self.seeds if self.recipe else (0,):
            yield Unit(self.plan, self.recipe, seed)


@dataclass(frozen=True, slots=True)
class Unit:
    """One model: a plan, recovered once or not at all. Rows share units."""

    plan: Plan
    recipe: str
    seed: int

    @property
    def pruned(self) -> str:
        """Return the name of the pruned checkpoint, which recoveries share."""
        return hashlib.sha256(self.plan.key().encode()).hexdigest()[:10]

    @property
    def key(self) -> str:
        """Return the name of the unit."""
        return f'{self.pruned}-{self.recipe}-{self.seed}' if self.recipe else self.pruned


def language(indices: Sequence[int], mode: str = 'keep-kv') -> Plan:
    """Return the plan that drops language blocks."""
    return Plan({'language': {mode: tuple(indices)}}, dead=True)


def blocks(stack: str, indices: Sequence[int], mode: str = 'whole') -> Plan:
    """Return the plan that drops blocks of a stack."""
    return Plan({stack: {mode: tuple(indices)}}, dead=True)


def odd(depth: int) -> list[int]:
    """Return the odd blocks, counted from 0: the uniform drop of the paper."""
    return list(range(1, depth, 2))


def inner(depth: int) -> list[int]:
    """Return all but the first and the last."""
    return list(range(1, depth - 1))


def all_rows(ranking: Ranking) -> list[Row]:
    """Return the rows of every section, the ones that matter most first."""
    sections = (modules, longer, teaching, criteria, twins, divergence, composition)
    return [row for section in sections for row in section(ranking)]


def modules(ranking: Ranking) -> list[Row]:
    """Half and all but two blocks of each stack, and the parts of language blocks."""
    words, eyes, acts = (ranking.layout[name].depth for name in ('language', 'vision', 'action'))
    seeds = (0, 1, 2)

    def row(name: str, plan: Plan, *, headline: bool = False, probed: bool = False) -> Row:
        return Row('modules', name, plan, 'main', seeds if headline else (0,),
                   200 if headline else 100, (*OWN, *ROBUST) if probed else OWN, headline)

    return [
        Row('modules', 'baseline, as shipped', Plan(dead=True), episodes=400,
            probes=(*OWN, *ROBUST), headline=True),
        row('language half, odd dropped', language(odd(words)), headline=True, probed=True),
        row('language 2 left, endpoints', language(inner(words)), headline=True, probed=True),
        row('baseline, trained on', Plan(dead=True), headline=True, probed=True),
        row('vision half, odd dropped', blocks('vision', odd(eyes)), headline=True, probed=True),
        row('action 2 left, endpoints', blocks('action', inner(acts)), headline=True),
        row('vision 2 left, endpoints', blocks('vision', inner(eyes))),
        row('action half, odd dropped', blocks('action', odd(acts))),
        row('language half, attention only', language(odd(words), 'mha')),
        row('language half, MLP only', language(odd(words), 'mlp')),
    ]


def longer(ranking: Ranking) -> list[Row]:
    """The checkpoints that are shipped, language half and two left, and their control."""
    depth = ranking.layout['language'].depth
    return [Row('longer', f'{name}, 3000 steps', plan, 'long', (0,), 400, (*OWN, *ROBUST))
            for name, plan in (('language half, odd dropped', language(odd(depth))),
                               ('language 2 left, endpoints', language(inner(depth))),
                               ('baseline, trained on', Plan(dead=True)))]


def teaching(ranking: Ranking) -> list[Row]:
    """The same recovery with the parent's answers beside the demonstrations."""
    depth = ranking.layout['language'].depth
    return [Row('teaching', f'{name}, taught by the parent', language(gone), 'taught',
                (0, 1, 2), 200, headline=True)
            for name, gone in (('language half, odd dropped', odd(depth)),
                               ('language 2 left, endpoints', inner(depth)))]


def criteria(ranking: Ranking) -> list[Row]:
    """Every criterion at half and at extreme depth; equal plans are run once."""
    depth = ranking.layout['language'].depth
    rows = []
    for left in (depth // 2, 2):
        for name in ranking.criteria:
            request = Request(name, drops={'language': depth - left},
                              modes={'language': 'keep-kv'})
            plan = _solved(solve, ranking, request)
            if plan is not None:
                rows.append(Row('criteria', f'{name}, {left} left', plan, 'short'))
    return rows


def twins(ranking: Ranking) -> list[Row]:
    """Tied removal by CKA and by controls, at 3/8 and 1/2, with all and a tenth of the data."""
    depth = ranking.layout['language'].depth
    rows = [Row('twins', 'parent, all data', Plan(dead=True), 'short'),
            Row('twins', 'parent, 10 % of the data', Plan(dead=True), 'tenth')]
    for gone in (round(depth / 3), depth // 2):
        for name in ('cka', 'gateprobe', 'uniform', 'random'):
            request = Request(name, drops={'language': gone}, modes={'language': 'tied'})
            plan = _solved(solve, ranking, request)
            if plan is None:
                continue
            title = f'{name}, {gone} of {depth} tied blocks gone'
            rows.append(Row('twins', f'{title}, all data', plan, 'short'))
            if name == 'cka':
                rows.append(Row('twins', f'{title}, 10 % of the data', plan, 'tenth'))
    return rows


def divergence(ranking: Ranking) -> list[Row]:
    """Channels and heads by each criterion under the same rule, never trained again."""
    rows = []
    for share in SHARES:
        for name in WIDTHS:
            request = Request(name, budget={'params': share})
            plan = _solved(solve_widths, ranking, request)
            if plan is not None:
                rows.append(Row('divergence', f'{name}, {share:.0%} of the parameters left', plan,
                                episodes=200, headline=name == 'divergence'))
    return rows


def composition(ranking: Ranking) -> list[Row]:
    """Recovered without some pairs of colour and goal, and then asked for them."""
    depth = ranking.layout['language'].depth
    return [Row('composition', name, plan, 'unpaired', (0,), 200)
            for name, plan in (('baseline, trained on', Plan(dead=True)),
                               ('language half, odd dropped', language(odd(depth))),
                               ('language 2 left, endpoints', language(inner(depth))))]


def _solved(solver: Callable[[Ranking, Request], Plan], ranking: Ranking, request: Request,
            ) -> Plan | None:
    """Return the plan with the dead parts gone too; None where the criterion cannot."""
    try:
        return replace(solver(ranking, request), dead=True)
    except (PlanError, RankingError):
        return None
