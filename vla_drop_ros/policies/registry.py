# SPDX-License-Identifier: Apache-2.0
"""From a checkpoint folder to a policy, importing torch only in the process that asks for one."""

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from vla_drop_ros.errors import CheckpointError, MissingDependencyError
from vla_drop_ros.manifest import load_manifest, Manifest
from vla_drop_ros.policies.acceptance import check_files, check_statistics, statistics_of
from vla_drop_ros.policies.policy import Policy

# family -> 'module:callable' with the signature (folder, device, threads) -> Policy
_LOADERS = {'pi0': 'vla_drop_ros.policies.pi0:load',
            'prismatic': 'vla_drop_ros.policies.prismatic:load',
            'smolvla': 'vla_drop_ros.policies.smolvla:load'}


def register(family: str, loader: str) -> None:
    """Make ``load_policy`` use 'module:callable' for a family."""
    _LOADERS[family] = loader


def read_manifest(path: str | Path) -> Manifest:
    """Return what a checkpoint says about itself, without torch and without reading weights.

    Raises:
        CheckpointError: it is missing, malformed, or no policy.

    """
    manifest = load_manifest(path)
    if manifest.family not in _LOADERS or manifest.action_spec is None:
        raise CheckpointError(
            f'checkpoint {str(path)!r} has family {manifest.family!r} and role '
            f'{manifest.role!r}; a policy needs one of {sorted(_LOADERS)} with the role vla')
    return manifest


def check_loadable(path: str | Path) -> Manifest:
    """Return the manifest of a folder that can be loaded, as far as shows without the weights.

    Raises:
        CheckpointError: it is missing, malformed, no policy, incomplete, or its statistics are
            not those of its action and state.

    """
    manifest = read_manifest(path)
    check_files(Path(path), manifest)
    return manifest


def read_statistics(path: str | Path) -> dict[str, float]:
    """Return the normalisation statistics of a checkpoint, see ``acceptance.statistics_of``.

    Raises:
        CheckpointError: it is missing, malformed, or no policy.

    """
    return statistics_of(Path(path), read_manifest(path))


def check_normalization(path: str | Path, running: Mapping[str, float]) -> None:
    """Refuse a checkpoint with other normalisation statistics than those that run.

    Raises:
        CheckpointError: the sentence for the operator.

    """
    check_statistics(Path(path), read_statistics(path), running)


def free_device_memory(device: str) -> int | None:
    """Return the free memory of the GPU that ``device`` means, [byte]; None where it means none.

    Raises:
        CheckpointError: there is no such device.

    """
    if device == 'cpu':
        return None
    try:
        from vla_drop_ros.policies.model_policy import free_memory, torch_device
    except ModuleNotFoundError:  # the load says what to install
        return None
    return free_memory(torch_device(device))


def assemble_policy(model: Any, manifest: Manifest, folder: str | Path) -> Any:
    """Return the policy of a model that is loaded already; it is not warmed up.

    Raises:
        CheckpointError: it is no policy.

    """
    read_manifest(folder)
    module = _LOADERS[manifest.family].partition(':')[0]
    return import_module(module).assemble(model, manifest, Path(folder))


def load_policy(path: str | Path, device: str = 'auto', threads: int | None = None,
                continuing: bool = False) -> Policy:
    """Return the verified, warmed-up policy of a checkpoint folder.

    Args:
        path: checkpoint folder.
        device: ``auto`` (a GPU if there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        threads: CPU threads of torch for the whole process; None leaves them as they are.
        continuing: whether observations will have a prefix (real-time chunking).

    Raises:
        CheckpointError: the folder is damaged, or the policy cannot continue chunks though asked.

    """
    manifest = read_manifest(path)
    module, _, name = _LOADERS[manifest.family].partition(':')
    try:
        loader = getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f'family {manifest.family!r} needs the package {error.name!r}: '
            'pip install torch transformers tokenizers safetensors accelerate') from error
    policy: Policy = loader(Path(path), device, threads)
    if continuing:
        policy.prepare_continuing()
    return policy
