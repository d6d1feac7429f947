# SPDX-License-Identifier: Apache-2.0
"""What a design costs in pairs and robot-hours, and what it cannot see, in words."""

from collections.abc import Mapping
from typing import Any

from vla_drop_ros.trials.boundary import Boundary
from vla_drop_ros.trials.design import Design
from vla_drop_ros.trials.evidence import boundaries, Terms
from vla_drop_ros.trials.planning import (
    fixed_pairs,
    fixed_power,
    robot_hours,
    sequential_plan,
    Truth,
)

SEQUENTIAL = 1.3
"""Horizon of a sequential rule over the pairs of one look, for the same power, about."""


def describe(design: Design, baseline: float, discordance: float | None,
             found: Mapping[Any, Boundary]) -> list[str]:
    """Return the plan in words.

    Args:
        design: the study.
        baseline: success assumed of the baseline, as a proportion.
        discordance: assumed; None: of independent arms.
        found: boundaries that are known already; others are built.

    """
    truth = Truth.independent(baseline, baseline) if discordance is None else Truth(
        0.0, discordance)
    terms, arms = Terms.of(design), len(design.arms)
    lines = [f'[bold]{design.title}[/]', design.question, '',
             f'margin {design.margin:.0%}, error {design.alpha:.0%} in each direction: up to '
             f"{design.margin / baseline:.0%} of the baseline's success may be given up"]
    needed = fixed_pairs(design.margin, design.alpha, truth)
    lines.append(f'assumed: both arms succeed in {baseline:.0%}, {truth.discordance:.0%} of the '
                 f'pairs differ; one look would need {needed} pairs for 80 % power')
    horizon = design.stopping.horizon
    if terms.rule == 'exact_paired':
        boundary = (found or boundaries(terms, ('non_inferior',)))['non_inferior']
        plan = sequential_plan(boundary, truth)
        power, mean = plan.power, plan.mean_pairs
        hours = robot_hours(round(mean), design.timeout, design.rest, arms)
        lines.append(f'at most {horizon} pairs, on average {mean:.0f} ({hours:.1f} robot-hours), '
                     'since one may stop at every complete round')
    elif terms.rule == 'fixed':
        power = fixed_power(horizon, design.margin, design.alpha, truth)
    else:
        lines.append('no horizon: the study goes on until it can tell, or until you stop')
        return lines
    lines.append(f'robot: at most {robot_hours(horizon, design.timeout, design.rest, arms):.1f} '
                 f'hours, {horizon * arms} trials of up to {design.timeout:.0f} s and '
                 f'{design.rest:.0f} s between them')
    lines.append(f'if the arms are equal, it says so with a probability of [bold]{power:.0%}[/]')
    if power < 0.8:
        wanted = needed if terms.rule == 'fixed' else round(SEQUENTIAL * needed)
        lines.append(f'[yellow]That is little: think of about {wanted} pairs, or of a larger '
                     'margin. A study that ends inconclusive costs as many hours.[/]')
    return lines
