# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders: written whole or not at all, loaded strictly or not at all.

A folder holds ``manifest.json``, ``config.json`` and ``model.safetensors`` as transformers writes
them (so its stock loader opens the folder), ``tokenizer.json`` and ``normalization.json``. Only
safetensors and JSON are ever read. torch and transformers are imported when a model is needed.
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
from vla_drop_ros.errors import CheckpointError, MissingDependencyError, unknown
from vla_drop_ros.manifest import (
    checkpoint_hash,
    CONFIG_FILE,
    FAMILIES,
    file_sha256,
    load_manifest,
    Manifest,
    MANIFEST_FILE,
    NORMALIZATION_FILE,
    TOKENIZER_FILE,
    verify,
    WEIGHTS_FILE,
    write_manifest,
)

__all__ = [
    'Manifest', 'checkpoint_hash', 'load_checkpoint', 'load_manifest', 'refuse_existing',
    'save_checkpoint', 'stack_of', 'verify', 'write_manifest']

_MODEL_CLASSES = {
    'pi0': 'PI0ForConditionalGeneration',
    'paligemma': 'PaliGemmaForConditionalGeneration',
}
STACKS = ('vision', 'language', 'action', 'other')


def stack_of(parameter: str) -> str:
    """Return the stack that a parameter name belongs to: one of ``STACKS``."""
    if 'vision_tower.' in parameter:
        return 'vision'
    if 'language_model.' in parameter:
        return 'language'
    if parameter.startswith(('model.dit.', 'embed_action_time.', 'action_out_proj.')):
        return 'action'
    return 'other'


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
    *, force: bool = False, **fields: Any,
) -> Manifest:
    """Write a checkpoint folder and return its manifest.

    Hashes, parameter counts, the fingerprint and the versions are measured here. The folder
    appears under its name only when all of it is written.

    Args:
        folder: where; must not exist, or see ``force``.
        model: transformers' pi0 or paligemma model, on any device; saved in its dtype.
        tokenizer: a ``tokenizers.Tokenizer``.
        normalization: ``{'state': {'mean', 'std'}, 'action': {'mean', 'std'}}``, see
            ``policies.normalization``.
        force: replace a folder that exists.
        fields: the fields of ``Manifest`` that only the caller knows: ``name``, ``action_spec``
            (None for a vlm), ``cameras``, ``state_names``, and whichever of the rest apply.

    Raises:
        CheckpointError: the folder exists, or the fields contradict the model.

    """
    family = model.config.model_type
    if family not in _MODEL_CLASSES:
        raise CheckpointError(unknown('checkpoint family', family, FAMILIES))
    fields.setdefault('role', 'vla' if family == 'pi0' else 'vlm')
    sizes = _sizes(model)
    with _whole_or_nothing(Path(folder), force) as partial:
        _write_model(partial, model)
        tokenizer.save(str(partial / TOKENIZER_FILE))
        (partial / NORMALIZATION_FILE).write_text(json.dumps(normalization, indent=2) + '\n')
        files = {path.name: file_sha256(path) for path in sorted(partial.iterdir())}
        manifest = Manifest(
            family=family, files=files, normalization_sha256=files[NORMALIZATION_FILE],
            parameters={stack: count for stack, (count, _) in sizes.items()},
            bytes={stack: size for stack, (_, size) in sizes.items()},
            fingerprint=_fingerprint(_build(partial, family), len(fields['cameras'])),
            tool_version=__version__, git_commit=_git_commit(), **fields)
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
    model = _build(folder, manifest.family)
    from vla_drop_ros import fingerprint
    try:
        fingerprint.check(manifest.fingerprint, _fingerprint(model, len(manifest.cameras)))
    except CheckpointError as error:
        raise CheckpointError(f'checkpoint {str(folder)!r}: {error}') from error
    return model, manifest


def _build(folder: Path, family: str) -> Any:
    """Build the model from the folder; transformers only warns where this raises."""
    try:
        from safetensors import SafetensorError
        import torch
        import transformers
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f'loading a checkpoint needs the package {error.name!r}: '
            'pip install torch transformers') from error
    try:
        found = json.loads((folder / CONFIG_FILE).read_text()).get('model_type')
        if found != family:
            raise CheckpointError(
                f'checkpoint {str(folder)!r}: {CONFIG_FILE} says model_type {found!r}, the '
                f'manifest says family {family!r}; one of the two files is from another folder')
        with _no_progress_bars():
            model, report = getattr(transformers, _MODEL_CLASSES[family]).from_pretrained(
                folder, local_files_only=True, use_safetensors=True, dtype=torch.float32,
                output_loading_info=True)
    except (OSError, ValueError, RuntimeError, AttributeError) as error:
        raise CheckpointError(
            f'checkpoint {str(folder)!r} cannot be loaded as {family}: {error}') from error
    except SafetensorError as error:
        raise CheckpointError(
            f'checkpoint {str(folder)!r}: {WEIGHTS_FILE} is not a whole safetensors file '
            f'({error}); copy it again') from error
    problems = [f'{kind.replace("_", " ")}: {sorted(map(str, keys))}'
                for kind, keys in report.items() if keys]
    if problems:
        raise CheckpointError(
            f'checkpoint {str(folder)!r}: weights and {CONFIG_FILE} do not fit each other: '
            f'{"; ".join(problems)}')
    return model.eval()


def _fingerprint(model: Any, cameras: int) -> dict[str, Any]:
    from vla_drop_ros import fingerprint
    return fingerprint.measure(model, cameras)


def _sizes(model: Any) -> dict[str, tuple[int, int]]:
    """Return parameters and bytes by stack; tied tensors count once."""
    sizes = {stack: (0, 0) for stack in STACKS}
    for name, parameter in model.named_parameters():
        count, size = sizes[stack_of(name)]
        sizes[stack_of(name)] = (
            count + parameter.numel(), size + parameter.numel() * parameter.element_size())
    return sizes


def _write_model(folder: Path, model: Any) -> None:
    with _no_progress_bars():
        model.save_pretrained(folder, max_shard_size='1TB')


@contextmanager
def _no_progress_bars() -> Iterator[None]:
    """Keep transformers from drawing bars for what takes a moment."""
    from transformers.utils import logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


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
