# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders: written whole or not at all, loaded strictly or not at all.

A folder holds ``manifest.json``, ``config.json``, the weights in one safetensors file or in
shards, ``tokenizer.json`` and ``normalization.json``. Only safetensors and JSON are ever read.
torch and transformers are imported when a model is needed.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
import json
import os
from pathlib import Path
import shutil
import subprocess
import tempfile
from typing import Any

from vla_drop_ros import __version__
from vla_drop_ros.errors import CheckpointError, MissingDependencyError
from vla_drop_ros.manifest import (
    checkpoint_hash,
    CONFIG_FILE,
    file_sha256,
    load_manifest,
    Manifest,
    MANIFEST_FILE,
    NORMALIZATION_FILE,
    TOKENIZER_FILE,
    verify,
    write_manifest,
)

__all__ = [
    'Manifest', 'checkpoint_hash', 'load_checkpoint', 'load_manifest', 'refuse_existing',
    'save_checkpoint', 'verify', 'write_manifest']

SHARD_BYTES = 5 * 10**9


def refuse_existing(folder: str | Path, force: bool) -> None:
    """Raise CheckpointError if a checkpoint must not be written here.

    ``force`` allows to replace a checkpoint, never a folder of another kind.
    """
    folder = Path(folder)
    if folder.exists() and not force:
        raise CheckpointError(
            f'{str(folder)!r} exists already; choose another name or pass --force')
    if folder.exists() and not (folder / MANIFEST_FILE).is_file():
        raise CheckpointError(
            f'{str(folder)!r} exists and is no checkpoint, it will not be replaced; choose '
            'another name')


def save_checkpoint(
    folder: str | Path, model: Any, tokenizer: Any, normalization: Mapping[str, Any],
    *, force: bool = False, shard_bytes: int = SHARD_BYTES,
    documents: Mapping[str, Any] | None = None, stock: bool = False, **fields: Any,
) -> Manifest:
    """Write a checkpoint folder and return its manifest.

    Hashes, parameter counts, the structure, the fingerprint, whether a stock loader opens it and
    the versions are measured here, the last three on what was written and read again. The folder
    appears under its name only when all of it is written.

    Args:
        folder: where; must not exist, or see ``force``.
        model: of a family in ``families``, on the CPU; saved in its dtype.
        tokenizer: a ``tokenizers.Tokenizer``.
        normalization: ``{'state': {'mean', 'std'}, 'action': {'mean', 'std'}}``, see
            ``policies.normalization``.
        force: replace a folder that exists.
        shard_bytes: weights larger than this are split into several files.
        documents: name of a JSON file -> what else the folder shall hold.
        stock: refuse to write what the family's stock loader does not open.
        fields: the fields of ``Manifest`` that only the caller knows: ``name``, ``action_spec``
            (None for a vlm), ``cameras``, ``state_names``, and whichever of the rest apply.

    Raises:
        CheckpointError: the folder exists, or the fields contradict the model.

    """
    _require_torch()
    from vla_drop_ros import fingerprint
    from vla_drop_ros.families.registry import family_of
    from vla_drop_ros.families.structure import difference
    family = family_of(model)
    fields.setdefault('role', family.role)
    sizes = _sizes(family, model)
    with _whole_or_nothing(Path(folder), force) as partial:
        family.write(model, partial, shard_bytes)
        tokenizer.save(str(partial / TOKENIZER_FILE))
        (partial / NORMALIZATION_FILE).write_text(json.dumps(normalization, indent=2) + '\n')
        for name, content in (documents or {}).items():
            (partial / name).write_text(json.dumps(content, indent=1) + '\n')
        structure = difference(family, model, family.build(partial)) or None
        written = _build(partial, family.name, structure)
        files = {path.relative_to(partial).as_posix(): file_sha256(path)
                 for path in sorted(partial.rglob('*')) if path.is_file()}
        cameras = len(fields['cameras'])
        values = fingerprint.measure(family, written, cameras)
        answer = _stock(family, partial, structure, values, cameras)
        if stock and not answer['opens']:
            raise CheckpointError(
                f'{answer["loader"]} does not open the result: {answer["why"]}')
        manifest = Manifest(
            family=family.name, files=files, normalization_sha256=files[NORMALIZATION_FILE],
            parameters={stack: count for stack, (count, _) in sizes.items()},
            bytes={stack: size for stack, (_, size) in sizes.items()},
            blocks={name: len(blocks) for name, blocks in _blocks(family, model).items()},
            structure=structure, stock=answer,
            fingerprint=values, tool_version=__version__, git_commit=_git_commit(), **fields)
        write_manifest(partial, manifest)
    return load_manifest(folder)


def load_checkpoint(folder: str | Path) -> tuple[Any, Manifest]:
    """Return the model in evaluation mode, float32 on the CPU, and the manifest.

    Every hash is compared, every tensor must find its place, and the model must answer the fixed
    input as it did when it was saved.

    Raises:
        CheckpointError: saying what differs.

    """
    folder = Path(folder)
    manifest = verify(folder)
    model = _build(folder, manifest.family, manifest.structure)
    from vla_drop_ros import fingerprint
    from vla_drop_ros.families.registry import family
    found = fingerprint.measure(family(manifest.family), model, len(manifest.cameras))
    try:
        fingerprint.check(manifest.fingerprint, found)
    except CheckpointError as error:
        raise CheckpointError(f'checkpoint {str(folder)!r}: {error}') from error
    return model, manifest


def empty_model(folder: Path, name: str, structure: Mapping[str, Any] | None) -> Any:
    """Return the model of a folder of family ``name`` as it was saved, without weights."""
    _require_torch()
    from vla_drop_ros.families.registry import family
    from vla_drop_ros.families.structure import reduce
    try:
        found = json.loads((folder / CONFIG_FILE).read_text())
        kind = found.get('model_type') or found.get('type')
        if kind != name:
            raise CheckpointError(
                f'checkpoint {str(folder)!r}: {CONFIG_FILE} says model_type {kind!r}, the '
                f'manifest says family {name!r}; one of the two files is from another folder')
        model = family(name).build(folder)
    except (OSError, ValueError, RuntimeError, AttributeError, TypeError, KeyError) as error:
        raise CheckpointError(
            f'checkpoint {str(folder)!r} cannot be loaded as {name}: {error}') from error
    if structure:
        reduce(family(name), model, structure)
    return model


def _build(folder: Path, name: str, structure: Mapping[str, Any] | None) -> Any:
    """Build the model from the folder, strictly."""
    model = empty_model(folder, name, structure)
    from vla_drop_ros.families.registry import family
    from vla_drop_ros.weights import load_strictly, Weights
    found = family(name)
    load_strictly(model, Weights(folder, found.module_name), found.tied(model))
    return model.eval()


def _require_torch() -> None:
    try:
        import torch  # noqa: F401 - said here once, clearly
        import transformers  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f'loading a checkpoint needs the package {error.name!r}: '
            'pip install torch transformers accelerate') from error


def _stock(family: Any, folder: Path, structure: Mapping[str, Any] | None,
           values: Mapping[str, Any], cameras: int) -> dict[str, Any]:
    """Try whether the stock loader opens the folder and gives the same model."""
    from vla_drop_ros import fingerprint
    answer: dict[str, Any] = {'loader': family.stock_loader, 'opens': False}
    if structure:
        parts = [f'{stack} blocks {", ".join(blocks)}'
                 for stack, blocks in structure['blocks'].items()]
        return {**answer, 'why': 'the configuration cannot say what is missing in '
                                 f'{"; ".join([*parts, *structure["absent"]])}'}
    try:
        found = fingerprint.measure(family, family.open_stock(folder), cameras)
        fingerprint.check(values, found)
    except (CheckpointError, OSError, ValueError, RuntimeError) as error:
        return {**answer, 'why': str(error)}
    return {**answer, 'opens': True}


def _blocks(family: Any, model: Any) -> Mapping[str, Any]:
    from vla_drop_ros.families.family import stacks
    return stacks(family, model)


def _sizes(family: Any, model: Any) -> dict[str, tuple[int, int]]:
    """Return parameters and bytes by stack; tied tensors count once."""
    sites = family.sites(family.config(model))
    sizes = {stack: (0, 0) for stack in (*sites.names, 'other')}
    for name, parameter in model.named_parameters():
        stack = sites.stack_of(name)
        count, size = sizes[stack]
        sizes[stack] = (
            count + parameter.numel(), size + parameter.numel() * parameter.element_size())
    return sizes


def _git_commit() -> str:
    """Return the commit of this package, empty where it is installed without its history."""
    here = Path(__file__).parent
    if not (here.parent / '.git').exists():
        return ''
    result = subprocess.run(
        ['git', 'rev-parse', 'HEAD'], cwd=here, capture_output=True, text=True, check=False)
    return result.stdout.strip()


@contextmanager
def _whole_or_nothing(folder: Path, force: bool) -> Iterator[Path]:
    """Yield a temporary folder that takes the name ``folder`` only if the block succeeds."""
    refuse_existing(folder, force)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f'.{folder.name}.', dir=folder.parent))
    try:
        partial = work / 'new'
        partial.mkdir()
        yield partial
        if folder.exists():
            folder.rename(work / 'old')
        os.replace(partial, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)
