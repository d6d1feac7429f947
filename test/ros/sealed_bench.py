# SPDX-License-Identifier: Apache-2.0
"""A locked study and a bench that runs it, for several test files."""

from collections.abc import Callable
from pathlib import Path
import shutil
import threading
from typing import Any

from rclpy.parameter import Parameter

from vla_drop_ros.manifest import checkpoint_hash, load_manifest
from vla_drop_ros.nodes.policy_supply import PolicySupply
from vla_drop_ros.trials.design import parse_design
from vla_drop_ros.trials.locked_study import load_study, lock, open_schedule
from vla_drop_ros.trials.sealed_schedule import Slot

MODELS = Path(__file__).parents[2] / 'models'
NAMES = {'quokka': 'reference', 'zebra': 'reference-half'}
THINKING = {'quokka': 0.06, 'zebra': 0.01}  # [s]


class Study:
    """A study of two arms, with what people must not read.

    Attributes:
        arms: arm -> checkpoint, as the design says.
        folder: of the study.

    """

    def __init__(self, folder: Path, arms: dict[str, str]) -> None:
        """Lock it in ``folder``."""
        self.folder, self.arms = folder, arms
        design = parse_design({
            'title': 'A study', 'question': 'Is it as good?',
            'arms': [{'name': name, 'checkpoint': where} for name, where in arms.items()],
            'conditions': [{'id': 'left', 'instruction': 'go'}],
            'margin': 0.15, 'alpha': 0.05, 'stopping': {'rule': 'anytime'},
            'minimum_baseline': 0.5, 'timeout': 30.0, 'rest': 20.0, 'failure_reasons': ['dropped'],
            'invalid_reasons': ['camera_lost'], 'seed': 7})
        lock(design, folder, lambda where: checkpoint_hash(self.path(where)), '0')
        self.schedule = open_schedule(folder, load_study(folder))

    @staticmethod
    def path(checkpoint: str) -> Path:
        """Return the folder of a checkpoint given as a path, or as the name of a shipped one."""
        return Path(checkpoint) if '/' in checkpoint else MODELS / checkpoint

    def words(self) -> set[str]:
        """Return every word by which people could tell an arm."""
        words = set(self.arms) | set(self.arms.values())
        for where in self.arms.values():
            manifest = load_manifest(self.path(where))
            words |= {str(self.path(where)), self.path(where).name, manifest.name,
                      manifest.identity, manifest.short}
            parent = manifest.parent
            words |= {str(parent['name']), str(parent['sha256'])[:12]} if parent else set()
        return words

    def slots(self, count: int) -> list[tuple[Slot, str]]:
        """Return the first slots and the value of ``checkpoint`` for each."""
        found = [self.schedule.slot(index) for index in range(count)]
        return [(slot, f'sealed:{self.schedule.token(slot.index, 0)}') for slot in found]


def manifests(folder: Path) -> dict[str, str]:
    """Return two folders that hold manifests and no weights, for fakes."""
    arms = {}
    for name, model in NAMES.items():
        arms[name] = str(folder / f'model-{name}')
        Path(arms[name]).mkdir(parents=True)
        shutil.copy(MODELS / model / 'manifest.json', arms[name])
    return arms


def with_fakes(bench: Any, policy_bench: Any, arms: dict[str, str]) -> Any:
    """Give a bench a fake for each arm, of which one thinks longer; return it."""
    bench.policies = {where: policy_bench.FakePolicy(load_manifest(where).short)
                      for where in arms.values()}
    for name, where in arms.items():
        policy = bench.policies[where]
        policy.infer = _thinking(policy.infer, THINKING[name])
    return bench


def with_real_ones(bench: Any) -> Any:
    """Let a bench load as the shipped node does; return it."""
    bench.policy._supply = PolicySupply(bench.policy.parameters)  # noqa: SLF001
    return bench


def override(**values: Any) -> list[Parameter]:
    """Return parameters for the constructor of a node."""
    return [Parameter(name, value=value) for name, value in values.items()]


def _thinking(infer: Callable[[Any], Any], seconds: float) -> Callable[[Any], Any]:
    def slow(observation: Any) -> Any:
        threading.Event().wait(seconds)
        return infer(observation)

    return slow
