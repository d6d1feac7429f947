# SPDX-License-Identifier: Apache-2.0
"""From the name of a family, or a live model, to the family."""

from importlib import import_module
from typing import Any

from vla_drop_ros.errors import CheckpointError, MissingDependencyError, unknown
from vla_drop_ros.families.family import Family

# family -> 'module:object'
_FAMILIES = {
    'pi0': 'vla_drop_ros.families.pi0:PI0',
    'paligemma': 'vla_drop_ros.families.pi0:PALIGEMMA',
    'smolvla': 'vla_drop_ros.families.smolvla:SMOLVLA',
    'prismatic': 'vla_drop_ros.families.prismatic:PRISMATIC',
}


def family(name: str) -> Family:
    """Return a family by name.

    Raises:
        CheckpointError: no such family.
        MissingDependencyError: a package that it needs is not installed.

    """
    if name not in _FAMILIES:
        raise CheckpointError(unknown('checkpoint family', name, _FAMILIES))
    module, _, attribute = _FAMILIES[name].partition(':')
    try:
        found: Family = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f'family {name!r} needs the package {error.name!r}: '
            f'pip install {"lerobot" if name == "smolvla" else error.name}') from error
    return found


def family_of(model: Any) -> Family:
    """Return the family of a live model."""
    config = getattr(model, 'config', None)
    kind = getattr(config, 'model_type', None) or getattr(config, 'type', None)
    return family(str(kind))
