# SPDX-License-Identifier: Apache-2.0
"""What the messages in a recording look like; a file explains itself by these definitions."""

from collections.abc import Iterable
from functools import cache
import os
from pathlib import Path
import re
from typing import Any

from vla_drop_ros.errors import MissingDependencyError

KIND = re.compile(r'\w+/msg/\w+')


@cache
def message_types(distro: str) -> Any:
    """Return the types of a ROS distribution as rosbags knows them; unknown ones get the newest.

    Raises:
        MissingDependencyError: the package rosbags is not installed.

    """
    try:
        from rosbags.typesys import get_typestore, Stores
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            'recording bags needs the package rosbags: pip install rosbags') from error
    return get_typestore(getattr(Stores, f'ROS2_{distro.upper()}', Stores.LATEST))


def define(types: Any, kind: str, prefixes: Iterable[Path] | None = None) -> bool:
    """Add a type, and those it is made of, from the .msg files of an installed package.

    Args:
        types: where it is to be known.
        kind: such as ``franka_msgs/msg/FrankaState``.
        prefixes: where packages are installed; None takes AMENT_PREFIX_PATH.

    Returns:
        whether it is known now.

    """
    from rosbags.typesys import get_types_from_msg, TypesysError
    if prefixes is None:
        prefixes = [Path(prefix) for prefix in
                    os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep) if prefix]
    folders, found, wanted = list(prefixes), {}, [kind]
    while wanted:
        name = wanted.pop()
        if name in types.types or name in found:
            continue
        text = _text(name, folders)
        if text is None:
            return False
        try:
            found.update(get_types_from_msg(text, name))
        except TypesysError:
            return False
        wanted += [word for word in KIND.findall(repr(found[name])) if word != name]
    types.register(found)
    return True


def _text(kind: str, prefixes: Iterable[Path]) -> str | None:
    if not KIND.fullmatch(kind):
        return None
    package, _, name = kind.split('/')
    for prefix in prefixes:
        path = prefix / 'share' / package / 'msg' / f'{name}.msg'
        if path.is_file():
            return path.read_text(encoding='utf-8')
    return None
