# SPDX-License-Identifier: Apache-2.0
"""What shows at once whether a checkpoint folder can be loaded: no weights are read, no torch.

The whole proof, hash by hash, comes with the load; this is for who must answer within a callback.
"""

from collections.abc import Mapping
import json
import math
from pathlib import Path

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.manifest import file_sha256, Manifest, NORMALIZATION_FILE
from vla_drop_ros.policies.normalization import Normalization

LENGTH_BYTES = 8  # before the header of a safetensors file
LONGEST_HEADER = 100 * 2**20
SAME_NUMBER = 1e-6  # relative: a float32 copy of a number is the same one


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


def statistics_of(folder: Path, manifest: Manifest) -> dict[str, float]:
    """Return the normalisation statistics by what they are of, as in 'the std of action x'.

    In robot units: m, rad, and what the contract says of a gripper.

    Raises:
        CheckpointError: the file is missing or malformed.

    """
    found = Normalization.load(folder / NORMALIZATION_FILE)
    actions = manifest.action_spec.names if manifest.action_spec else ()
    return {f'the {key} of {what} {name}': float(number)
            for what, kind, names in (('action', found.action, actions),
                                      ('state', found.state, manifest.state_names))
            for key, numbers in (('mean', kind.mean), ('std', kind.std))
            for name, number in zip(names, numbers, strict=False)}  # check_files counts them


def check_statistics(folder: Path, wanted: Mapping[str, float],
                     running: Mapping[str, float]) -> None:
    """Refuse a checkpoint that is normalised otherwise than the one that runs.

    A whole checkpoint can be: what was pruned and recovered from one baseline keeps its
    statistics, so others mean other training data or another robot's units.

    Args:
        folder: of the checkpoint that is asked for, for the sentence.
        wanted: its statistics, see ``statistics_of``.
        running: those of the policy that answers now.

    Raises:
        CheckpointError: names the first value that differs, both numbers and the way out.

    """
    for what in (*running, *(name for name in wanted if name not in running)):
        here, there = running.get(what), wanted.get(what)
        if here is None or there is None or not math.isclose(here, there, rel_tol=SAME_NUMBER):
            raise CheckpointError(
                f'checkpoint {str(folder)!r} is normalised otherwise than the running one: '
                f'{what} is {_number(there)}, in the running one {_number(here)}. Its statistics '
                'are of other training data or another robot; take a checkpoint of the same '
                'baseline, or set the parameter other_normalization to true and ask again')


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


def _number(value: float | None) -> str:
    return 'not there' if value is None else f'{value:.9g}'


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
