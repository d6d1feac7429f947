# SPDX-License-Identifier: Apache-2.0
"""Masks that papers published, by name, as plans."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from vla_drop_ros.errors import PlanError, unknown
from vla_drop_ros.pruning.layout import Layout
from vla_drop_ros.pruning.plan import Plan
from vla_drop_ros.resources import share_path

PRESETS_FILE = 'config/presets.yaml'


@dataclass(frozen=True, slots=True)
class Preset:
    """One published mask.

    Attributes:
        name: as on the command line.
        source: where it was published, and what chose it.
        family: of the models that it is for.
        depth: stack -> blocks that it has there.
        keep, drop: stack -> blocks that stay, or that go; one of the two by stack.
        mode: stack -> drop mode; a stack without one: the family's default.

    """

    name: str
    source: str
    family: str
    depth: Mapping[str, int]
    keep: Mapping[str, list[int]] = field(default_factory=dict)
    drop: Mapping[str, list[int]] = field(default_factory=dict)
    mode: Mapping[str, str] = field(default_factory=dict)

    def removed(self, stack: str) -> tuple[int, ...]:
        """Return the blocks of a stack that go."""
        if stack in self.drop:
            return tuple(self.drop[stack])
        return tuple(index for index in range(self.depth[stack])
                     if index not in self.keep.get(stack, range(self.depth[stack])))

    def plan(self, family: str, layout: Layout, checkpoint: str) -> Plan:
        """Return the plan for a checkpoint.

        Raises:
            PlanError: it is for another family or another depth.

        """
        if family != self.family:
            raise PlanError(f'preset {self.name!r} is for the family {self.family!r}, the '
                            f'checkpoint is of family {family!r}')
        blocks: dict[str, dict[str, tuple[int, ...]]] = {}
        for stack, depth in self.depth.items():
            if layout[stack].depth != depth:
                raise PlanError(
                    f'preset {self.name!r} is for {depth} {stack} blocks, the checkpoint has '
                    f'{layout[stack].depth}; choose blocks by a ranking instead')
            blocks[stack] = {
                self.mode.get(stack, layout[stack].modes[0]): self.removed(stack)}
        return Plan(blocks, checkpoint=checkpoint, origin={
            'criterion': {'name': f'preset {self.name}', 'source': self.source}})


def presets() -> dict[str, Preset]:
    """Return all shipped presets by name."""
    with share_path(*PRESETS_FILE.split('/')).open(encoding='utf-8') as file:
        data: dict[str, dict[str, Any]] = yaml.safe_load(file)
    return {name: Preset(name, **fields) for name, fields in data.items()}


def preset(name: str) -> Preset:
    """Return a preset; PlanError names the valid ones."""
    found = presets()
    if name not in found:
        raise PlanError(unknown('preset', name, found))
    return found[name]
