# SPDX-License-Identifier: Apache-2.0
"""Where the files beside the code lie: in the source tree, or in the installed share folder."""

import os
from pathlib import Path
import sys

from vla_drop_ros.errors import VlaDropError

PACKAGE = 'vla_drop_ros'


def share_folders() -> tuple[Path, ...]:
    """Return the folders that may hold config/, launch/ and models/, the nearest first."""
    workspaces = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    prefixes = [Path(prefix) for prefix in workspaces if prefix]
    installed = [prefix / 'share' / PACKAGE for prefix in (*prefixes, Path(sys.prefix))]
    source = Path(__file__).resolve().parent.parent
    return (source, *installed) if (source / 'package.xml').is_file() else tuple(installed)


def share_path(*parts: str) -> Path:
    """Return the existing file or folder ``config/...``, ``launch/...`` or ``models/...``.

    Raises:
        VlaDropError: in no share folder; the message lists where it was looked for.

    """
    candidates = [folder.joinpath(*parts) for folder in share_folders()]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise VlaDropError(
        f'{"/".join(parts)} is not installed; looked for {", ".join(map(str, candidates))}. '
        'Build the package again (colcon build, or pip install -e .)')
