# SPDX-License-Identifier: Apache-2.0
"""The weights of a folder, one tensor at a time, from one file or from shards."""

from collections.abc import Callable, Iterator, Mapping
import json
from pathlib import Path
from typing import Any

from safetensors import safe_open, SafetensorError
import torch

from vla_drop_ros.errors import CheckpointError
from vla_drop_ros.manifest import INDEX_FILE, WEIGHTS_FILE


class Weights(Mapping[str, torch.Tensor]):
    """Parameters by name; a tensor is read from disk when it is asked for, and not kept."""

    def __init__(self, folder: str | Path, module_name: Callable[[str], str]) -> None:
        """Read the names; ``module_name`` turns a key of a file into that of a parameter.

        Raises:
            CheckpointError: a file is missing or damaged, or two keys mean one parameter.

        """
        self.folder = Path(folder)
        self._places: dict[str, tuple[Path, str]] = {}
        for path in self._files():
            with self._open(path) as file:
                for key in file.keys():  # noqa: SIM118 - a safetensors file, not a mapping
                    name = module_name(key)
                    if name in self._places:
                        raise CheckpointError(
                            f'checkpoint {str(self.folder)!r}: {self._places[name][1]!r} and '
                            f'{key!r} are both {name!r}; copy the folder again')
                    self._places[name] = (path, key)

    def _files(self) -> list[Path]:
        index = self.folder / INDEX_FILE
        if not index.exists():
            return [self.folder / WEIGHTS_FILE]
        try:
            names = sorted({str(name) for name in json.loads(
                index.read_text())['weight_map'].values()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(
                f'{str(index)!r} does not list the shards: {error!r}; copy it again') from error
        return [self.folder / name for name in names]

    def _open(self, path: Path) -> Any:
        try:
            return safe_open(path, 'pt')
        except (OSError, SafetensorError) as error:
            raise CheckpointError(
                f'checkpoint {str(self.folder)!r}: {path.name} is not a whole safetensors file '
                f'({error}); copy it again') from error

    def __getitem__(self, name: str) -> torch.Tensor:
        """Read one tensor."""
        path, key = self._places[name]
        with self._open(path) as file:
            tensor: torch.Tensor = file.get_tensor(key)
        return tensor

    def __iter__(self) -> Iterator[str]:
        """Iterate over the names."""
        return iter(self._places)

    def __len__(self) -> int:
        """Return the number of tensors."""
        return len(self._places)

    def place(self, name: str) -> tuple[Path, str]:
        """Return the file of a tensor and its key there."""
        return self._places[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor without reading it."""
        path, key = self._places[name]
        with self._open(path) as file:
            return tuple(file.get_slice(key).get_shape())


def load_strictly(model: Any, weights: Weights, tied: Mapping[str, str],
                  dtype: torch.dtype = torch.float32) -> None:
    """Give every parameter and persistent buffer of ``model`` its tensor.

    Args:
        model: parameters may be on the meta device.
        weights: of the folder.
        tied: names that no file needs to hold, since they share with another.
        dtype: of floating-point parameters.

    Raises:
        CheckpointError: a name without tensor, a tensor without name, or another shape.

    """
    wanted = model.state_dict(keep_vars=True)
    problems = [f'{kind}: {sorted(names)}' for kind, names in (
        ('missing keys', set(wanted) - set(weights) - set(tied)),
        ('unexpected keys', set(weights) - set(wanted)),
        ('mismatched keys', {
            f'{name} {weights.shape(name)} (wanted {tuple(wanted[name].shape)})'
            for name in set(wanted) & set(weights)
            if weights.shape(name) != tuple(wanted[name].shape)}),
    ) if names]
    if problems:
        raise CheckpointError(
            f'checkpoint {str(weights.folder)!r}: weights and configuration do not fit each '
            f'other: {"; ".join(problems)}')
    for name in sorted(set(wanted) & set(weights)):
        tensor = weights[name]
        # A copy: what is read stays what it was even if the file changes under a running robot.
        _assign(model, name, tensor.to(dtype if tensor.is_floating_point() else tensor.dtype,
                                       copy=True))
    for name, source in tied.items():
        if name in wanted:
            _assign(model, name, model.get_parameter(source))


def _assign(model: Any, name: str, tensor: torch.Tensor) -> None:
    path, _, attribute = name.rpartition('.')
    owner = model.get_submodule(path)
    if attribute in owner._parameters:
        old = owner._parameters[attribute]
        owner._parameters[attribute] = (
            tensor if isinstance(tensor, torch.nn.Parameter)
            else torch.nn.Parameter(tensor, requires_grad=bool(old.requires_grad)))
    else:
        owner._buffers[attribute] = tensor
