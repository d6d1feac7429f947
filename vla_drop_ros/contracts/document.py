# SPDX-License-Identifier: Apache-2.0
"""A YAML text as plain types, with the line of every key, and keys that are written twice."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from vla_drop_ros.errors import ContractError

Path = tuple[str, ...]
DEPTH = 12
"""Deepest nesting that is looked at: an alias may point to a mapping that holds it."""


@dataclass(frozen=True, slots=True)
class Document:
    """A parsed YAML file.

    Attributes:
        data: plain Python types; None for an empty file.
        lines: path of a key -> line, counted from 1; a path into an alias has the alias' line.
        repeated: path of a key -> the lines where it stands, when there are several.

    """

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    repeated: dict[Path, list[int]] = field(default_factory=dict)


def read_document(text: str, source: str) -> Document:
    """Parse YAML with the safe loader; ``source`` names it in the error.

    Raises:
        ContractError: not valid YAML.

    """
    try:
        loader = yaml.SafeLoader(text)
        try:
            root = loader.get_single_node()
            document = Document(None)
            for path, line in _keys(root, (), 0):
                if path in document.lines:
                    document.repeated.setdefault(path, [document.lines[path]]).append(line)
                document.lines[path] = line
            data = loader.construct_document(root) if root is not None else None
        finally:
            loader.dispose()
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        # SafeLoader lets through what int(), float() and date() say of a scalar
        raise ContractError(f'{source} is not valid YAML: {error}') from error
    return Document(data, document.lines, document.repeated)


def _keys(node: Any, path: Path, depth: int) -> Iterator[tuple[Path, int]]:
    if not isinstance(node, yaml.MappingNode) or depth > DEPTH:
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            here = (*path, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _keys(value, here, depth + 1)
