# SPDX-License-Identifier: Apache-2.0
"""What shows at once whether a checkpoint folder can be loaded: no weights are read, no torch.

The whole proof, hash by hash, comes with the load; this is for who must answer within a callback.
"""

import json
from pathlib import Path

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.manifest import file_sha256, Manifest, NORMALIZATION_FILE
from vla_drop_ros.policies.normalization import Normalization

LENGTH_BYTES = 8  # before the header of a safetensors file
LONGEST_HEADER = 100 * 2**20


def check_files(folder: Path, manifest: Manifest) -> None:
    """Refuse a folder that lacks a file, whose weights are cut off, or with other statistics.

    Raises:
        CheckpointError: naming each problem.

    """
    missing = [name for name in manifest.files if not (folder / name).is_file()]
    problems = [f'{name} is missing' for name in missing]
    problems += [f'{name} is not a whole safetensors file' for name in manifest.files
                 if name.endswith('.safetensors') and name not in missing
                 and not is_whole(folder / name)]
    if NORMALIZATION_FILE not in missing:
        problems += _normalization_problems(folder / NORMALIZATION_FILE, manifest)
    if problems:
        raise CheckpointError(
            f'checkpoint {str(folder)!r} cannot be loaded: {"; ".join(problems)}. Copy or '
            'download it again (git-lfs files need `git lfs pull`)')


def is_whole(path: Path) -> bool:
    """Say whether a safetensors file is as long as its header says."""
    try:
        with path.open('rb') as stream:
            length = int.from_bytes(stream.read(LENGTH_BYTES), 'little')
            if not 0 < length <= LONGEST_HEADER:
                return False
            header = json.loads(stream.read(length))
        ends = [entry['data_offsets'][1] for name, entry in header.items()
                if name != '__metadata__']
        return path.stat().st_size == LENGTH_BYTES + length + max(ends, default=0)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return False


def _normalization_problems(path: Path, manifest: Manifest) -> list[str]:
    """Return what is wrong with the numbers between robot units and model units."""
    found = file_sha256(path)
    if found != manifest.normalization_sha256:
        return [f'{path.name} is another one than the manifest says (sha256 {found[:12]}, '
                f'expected {manifest.normalization_sha256[:12]})']
    try:
        statistics = Normalization.load(path)
    except CheckpointError as error:
        return [str(error)]
    actions = manifest.action_spec.names if manifest.action_spec else ()
    return [f'{path.name} has {kind.mean.size} numbers for {what}, the manifest names '
            f'{list(names)}'
            for what, kind, names in (('the action', statistics.action, actions),
                                      ('the state', statistics.state, manifest.state_names))
            if kind.mean.size != len(names)]
