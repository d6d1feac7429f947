# SPDX-License-Identifier: Apache-2.0
"""A YAML file with ROS parameters, read before the nodes start: what they ignore is named here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from vla_drop_ros.errors import unknown, VlaDropError
from vla_drop_ros.resources import share_path

TEMPLATES = {'policy_node': 'policy.yaml', 'command_gate': 'gate.yaml'}  # node -> in config/
KEY = 'ros__parameters'


def parameters_in(path: Path) -> dict[str, dict[str, Any]]:
    """Return node -> its parameters in a file, of the nodes in ``TEMPLATES``.

    A section is of a node when its name ends in the node's, or in ``**``.

    Raises:
        VlaDropError: it cannot be read, is of no such node, or names a parameter that its node
            does not have, which ROS would ignore.

    """
    found: dict[str, dict[str, Any]] = {name: {} for name in TEMPLATES}
    sections = _sections(path)
    for section, values in sections.items():
        last = section.rstrip('/').rpartition('/')[2]
        if last != '**' and last not in TEMPLATES:
            raise VlaDropError(f'params_file {path}: {unknown("node", last, TEMPLATES)}')
        for name, mine in found.items():
            if last == name:
                _check(path, name, values)
            if last in (name, '**'):
                mine.update(values)
    if not sections:
        raise VlaDropError(f'params_file {path} has no section of {" or ".join(TEMPLATES)}; see '
                           'config/policy.yaml and config/gate.yaml')
    return found


def _sections(path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        data = yaml.safe_load(path.read_text(encoding='utf-8'))
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise VlaDropError(f'params_file {path} cannot be read: {error}') from error
    whole = data if isinstance(data, Mapping) else {}
    found = {str(name): one.get(KEY) for name, one in whole.items() if isinstance(one, Mapping)}
    for name in whole:
        if not isinstance(found.get(str(name)), Mapping):
            raise VlaDropError(f'params_file {path}: {name} needs {KEY}, a mapping; see '
                               'config/policy.yaml')
    return {name: one for name, one in found.items() if isinstance(one, Mapping)}


def _check(path: Path, node: str, values: Mapping[str, Any]) -> None:
    """Compare with the shipped file, which lists every parameter of the node."""
    shipped = _sections(share_path('config', TEMPLATES[node]))
    known = [name for one in shipped.values() for name in one]
    for name in values:
        if name not in known and name != 'use_sim_time' and not name.startswith('qos_overrides'):
            raise VlaDropError(f'params_file {path}: '
                               f'{unknown(f"parameter of {node}", name, known)}')
