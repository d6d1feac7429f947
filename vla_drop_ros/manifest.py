# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint folder says about itself, and the proof that its files are the ones meant.

Knows nothing about torch: a robot PC without it can still read, verify and compare checkpoints.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Any

from vla_drop_ros.errors import ActionSpecMismatchError, CheckpointError, unknown
from vla_drop_ros.types import ActionSpec, CameraSpec

FORMAT_VERSION = 2
FAMILIES = ('pi0', 'paligemma', 'smolvla', 'prismatic')
ROLES = ('vla', 'vlm')
MANIFEST_FILE = 'manifest.json'
CONFIG_FILE = 'config.json'
WEIGHTS_FILE = 'model.safetensors'
INDEX_FILE = 'model.safetensors.index.json'  # beside shards, instead of the one file
TOKENIZER_FILE = 'tokenizer.json'
NORMALIZATION_FILE = 'normalization.json'
REQUIRED_FILES = (CONFIG_FILE, TOKENIZER_FILE, NORMALIZATION_FILE)
SAFE_SUFFIXES = ('.json', '.safetensors')
# Measured after the fact: they describe a checkpoint and are no part of its identity.
MEASURED_LATER = ('quality', 'latency')
# Absent from the first format; left out where empty, so that its identities stay what they are.
SINCE_2 = ('structure', 'stock', 'blocks')


@dataclass(frozen=True, slots=True)
class Manifest:
    """All that one must know to load a checkpoint and to judge where it comes from.

    Attributes:
        format_version: version of this layout; a newer one is refused.
        family: architecture, one of ``FAMILIES``.
        role: ``vla`` (acts) or ``vlm`` (the vision-language model it was adapted from).
        name: what people call it.
        parent: ``name``, ``sha256``, ``dropped`` and ``parent`` of the checkpoint it was made
            from, so that the whole lineage is inside; None for one trained from nothing.
        base_vlm: ``name`` and ``sha256`` of the VLM it was adapted from.
        dropped: what was removed from the parent, by stack: ``kept`` and ``removed`` block
            indices of the parent with the ``mode`` of those that went or lost a part, removed
            ``channels`` and ``heads`` by block, and under ``dead`` what nothing had read.
        structure: what the model has that ``config.json`` cannot say, see
            ``families/structure.py``; None if it says all.
        stock: whether a loader that knows nothing of this package opens the folder: ``opens``,
            ``loader`` and, if not, ``why``.
        blocks: blocks by stack.
        criterion: how the removed blocks were chosen, with scores.
        calibration: data that the criterion saw (hash, seeds).
        recovery: how the model was trained again after the drop.
        action_spec: the action language; None for a vlm.
        cameras: camera key -> image size, in the order of the images in the prompt.
        state_names: the state vector, see the robot contract for the vocabulary.
        normalization_sha256: hash of the normalisation statistics.
        parameters: parameter count by stack, measured on the saved model.
        bytes: size of those parameters by stack, [byte].
        quality: success and errors, measured.
        latency: seconds by device, measured.
        files: file name -> sha256, every file of the folder but the manifest.
        fingerprint: output of the model on a fixed input, see ``fingerprint.py``.
        tool_version: version of this package that wrote the folder.
        git_commit: commit of this package that wrote the folder, empty if unknown.
        training: command, seeds, samples and losses of the training run.

    """

    family: str
    role: str
    name: str
    action_spec: ActionSpec | None
    cameras: Mapping[str, CameraSpec]
    state_names: tuple[str, ...]
    files: Mapping[str, str] = field(default_factory=dict)
    fingerprint: Mapping[str, Any] = field(default_factory=dict)
    normalization_sha256: str = ''
    parameters: Mapping[str, int] = field(default_factory=dict)
    bytes: Mapping[str, int] = field(default_factory=dict)
    parent: Mapping[str, Any] | None = None
    base_vlm: Mapping[str, Any] | None = None
    dropped: Mapping[str, Any] | None = None
    criterion: Mapping[str, Any] | None = None
    calibration: Mapping[str, Any] | None = None
    recovery: Mapping[str, Any] | None = None
    quality: Mapping[str, Any] | None = None
    latency: Mapping[str, Any] | None = None
    training: Mapping[str, Any] | None = None
    tool_version: str = ''
    git_commit: str = ''
    structure: Mapping[str, Any] | None = None
    stock: Mapping[str, Any] | None = None
    blocks: Mapping[str, int] | None = None
    format_version: int = FORMAT_VERSION

    def __post_init__(self) -> None:
        """Refuse a manifest that contradicts itself."""
        if self.family not in FAMILIES:
            raise CheckpointError(unknown('checkpoint family', self.family, FAMILIES))
        if self.role not in ROLES:
            raise CheckpointError(unknown('checkpoint role', self.role, ROLES))
        if (self.action_spec is None) != (self.role == 'vlm'):
            raise CheckpointError(
                f'checkpoint {self.name!r}: a vla needs an action_spec and a vlm has none; '
                f'role is {self.role!r}')
        if not self.cameras:
            raise CheckpointError(f'checkpoint {self.name!r} names no camera')
        for name in self.files:
            if not _is_safe(name):
                raise CheckpointError(
                    f'checkpoint {self.name!r} lists the file {name!r}; only plain names, at most '
                    f'one folder deep, that end in {" or ".join(SAFE_SUFFIXES)} are loaded')

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        data = {
            **asdict(self),
            'action_spec': None if self.action_spec is None else self.action_spec.to_dict(),
            'state_names': list(self.state_names),
        }
        return {name: value for name, value in data.items()
                if name not in SINCE_2 or value is not None}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> 'Manifest':
        """Build from ``to_dict`` output; a newer format and unknown fields are refused."""
        version = data.get('format_version')
        if not isinstance(version, int) or version > FORMAT_VERSION:
            raise CheckpointError(
                f'manifest format_version is {version!r}, this package reads up to '
                f'{FORMAT_VERSION}; update vla_drop_ros')
        known = set(cls.__dataclass_fields__)
        missing = known - set(data) - set(SINCE_2)
        if missing or set(data) - known:
            raise CheckpointError(
                f'manifest: missing {sorted(missing)}, '
                f'unknown {sorted(set(data) - known)}; write the folder again with this version')
        spec = data['action_spec']
        try:
            return cls(**{
                **data,
                'action_spec': None if spec is None else ActionSpec.from_dict(spec),
                'cameras': {key: CameraSpec(**size) for key, size in data['cameras'].items()},
                'state_names': tuple(data['state_names']),
            })
        except (TypeError, AttributeError, ActionSpecMismatchError) as error:
            raise CheckpointError(f'manifest is malformed: {error}') from error

    @property
    def identity(self) -> str:
        """SHA-256 over all that makes this checkpoint what it is, 64 hex digits."""
        data = {key: value for key, value in self.to_dict().items() if key not in MEASURED_LATER}
        return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

    @property
    def short(self) -> str:
        """First 12 hex digits of ``identity``, for people and topics."""
        return self.identity[:12]

    def lineage_record(self) -> dict[str, Any]:
        """Return what a child stores as its ``parent``."""
        return {'name': self.name, 'sha256': self.identity, 'dropped': self.dropped,
                'parent': self.parent}


def _is_safe(name: str) -> bool:
    """Return whether a listed file lies in the folder, or one below, and is no program."""
    path = PurePosixPath(name)
    return (len(path.parts) <= 2 and not path.is_absolute() and '..' not in path.parts
            and '\\' not in name and path.suffix in SAFE_SUFFIXES)


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file, 64 hex digits."""
    digest = hashlib.sha256()
    with path.open('rb') as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def load_manifest(folder: str | Path) -> Manifest:
    """Read the manifest of a checkpoint folder; the other files are not looked at."""
    folder = Path(folder)
    path = folder / MANIFEST_FILE
    if not folder.is_dir():
        raise CheckpointError(
            f'checkpoint folder {str(folder)!r} does not exist; give the path of a folder that '
            f'holds {MANIFEST_FILE}')
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        raise CheckpointError(
            f'{str(folder)!r} is no checkpoint: {MANIFEST_FILE} is missing; copy the whole '
            f'folder, or give the folder that holds it') from None
    except ValueError as error:
        raise CheckpointError(
            f'{str(path)!r} is not JSON ({error}); copy the folder again') from error
    if not isinstance(data, dict):
        raise CheckpointError(f'{str(path)!r} must hold a JSON object; copy the folder again')
    try:
        return Manifest.from_dict(data)
    except CheckpointError as error:
        raise CheckpointError(f'{str(path)!r}: {error}') from error


def write_manifest(folder: str | Path, manifest: Manifest) -> None:
    """Write the manifest, whole or not at all."""
    path = Path(folder) / MANIFEST_FILE
    partial = path.with_suffix('.partial')
    partial.write_text(json.dumps(manifest.to_dict(), indent=2) + '\n')
    partial.replace(path)


def verify(folder: str | Path) -> Manifest:
    """Return the manifest after comparing the hash of every file with it.

    Raises:
        CheckpointError: naming each file that is missing or differs.

    """
    folder = Path(folder)
    manifest = load_manifest(folder)
    problems = [f'{name} is not listed in the manifest'
                for name in REQUIRED_FILES if name not in manifest.files]
    if not {WEIGHTS_FILE, INDEX_FILE} & set(manifest.files):
        problems.append(f'{WEIGHTS_FILE} is not listed in the manifest')
    for name, expected in manifest.files.items():
        path = folder / name
        if not path.is_file():
            problems.append(f'{name} is missing')
        elif (found := file_sha256(path)) != expected:
            problems.append(
                f'{name} differs ({path.stat().st_size} bytes, sha256 {found[:12]}, expected '
                f'{expected[:12]})')
    if not problems and manifest.files[NORMALIZATION_FILE] != manifest.normalization_sha256:
        problems.append(f'normalization_sha256 is not the hash of {NORMALIZATION_FILE}')
    if problems:
        raise CheckpointError(
            f'checkpoint {str(folder)!r} is damaged or was changed: {"; ".join(problems)}. '
            'Copy or download it again (git-lfs files need `git lfs pull`)')
    return manifest


def checkpoint_hash(folder: str | Path) -> str:
    """Return the identity of a checkpoint folder, 64 hex digits; its first 12 are the short one.

    Later measurements (``quality``, ``latency``) do not change it, everything else does, since
    the manifest holds the hash of every file.
    """
    return load_manifest(folder).identity


def block_counts(folder: str | Path) -> dict[str, int]:
    """Return the blocks of each stack, as the folder records them."""
    manifest = load_manifest(folder)
    if manifest.blocks is not None:
        return dict(manifest.blocks)
    path = Path(folder) / CONFIG_FILE  # the first format, which had two families
    try:
        config = json.loads(path.read_text())
        vlm = config.get('vlm_config', config)
        parts = {'vision': vlm['vision_config'], 'language': vlm['text_config']}
        if 'dit_config' in config:
            parts['action'] = config['dit_config']
        return {stack: int(part['num_hidden_layers']) for stack, part in parts.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f'{str(path)!r} does not state the depths of a pi0 or paligemma model: '
            f'{error!r}; copy the folder again') from error
