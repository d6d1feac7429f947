# SPDX-License-Identifier: Apache-2.0
"""What the rest of the package knows about a model family."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from vla_drop_ros.families.block_sites import Sites
from vla_drop_ros.families.guidance import Denoiser
from vla_drop_ros.families.journal import Journal
from vla_drop_ros.families.reduced import StandIns
from vla_drop_ros.families.stack import Stack
from vla_drop_ros.types import FloatArray

Inputs = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Batch:
    """B observations with the actions that were right, and D draws of the flow for each.

    Attributes:
        inputs: what the model is given, every tensor with B rows.
        actions: normalised, shape (B, T, A).
        weights: 1 where an action counts, 0 where it is padding, shape (B, T, A).
        noise: shape (B, D, T, A).
        time: flow times in (0, 1], 1 is noise, shape (B, D).

    """

    inputs: Inputs
    actions: torch.Tensor
    weights: torch.Tensor
    noise: torch.Tensor
    time: torch.Tensor

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.actions)


class Family(Protocol):
    """A model family: how to build, save and run it, and where its blocks are.

    Attributes:
        name: as in the manifest.
        role: ``vla`` or ``vlm``.
        stock_loader: what else opens a folder, for people.
        head: path of the module whose output the action loss compares, (B * D, T, A); empty for
            a vlm.
        stand_ins: what takes the places of removed parts.
        flows: whether actions come out of a flow, so that there is a ``denoiser``.

    """

    name: str
    role: str
    stock_loader: str
    head: str
    stand_ins: StandIns
    flows: bool

    def sites(self, config: Mapping[str, Any]) -> Sites:
        """Return where the blocks of a model with this configuration are."""

    def config(self, model: Any) -> dict[str, Any]:
        """Return the configuration of a live model, as ``sites`` wants it."""

    def read_config(self, folder: Path) -> dict[str, Any]:
        """Return the configuration that a folder holds, as ``sites`` wants it."""

    def build(self, folder: Path) -> Any:
        """Return the model that the folder's configuration describes, without weights.

        Parameters are on the meta device, other tensors are real.
        """

    def tied(self, model: Any) -> dict[str, str]:
        """Return parameters that are no files' business: name -> the name they share with."""

    def module_name(self, key: str) -> str:
        """Return the parameter that a key in a file of weights means."""

    def write(self, model: Any, folder: Path, shard_bytes: int) -> None:
        """Write configuration and weights; weights in shards of at most this size."""

    def open_stock(self, folder: Path) -> Any:
        """Open the folder with the loader that knows nothing of this package; strictly."""

    def agree(self, model: Any, journal: Journal) -> None:
        """Make configuration and counters of a live model agree with its blocks."""

    def fixed_inputs(self, model: Any, cameras: int, seed: int) -> tuple[Inputs, torch.Tensor]:
        """Return inputs and noise for one sample, pseudo-random but fixed by ``seed``."""

    def noise_shape(self, model: Any) -> tuple[int, int]:
        """Return steps and dimensions (T, A) of the actions inside the model."""

    def flow_times(self, model: Any, shares: FloatArray) -> FloatArray:
        """Return the flow times at these quantiles of the distribution it is trained with."""

    def act(self, model: Any, inputs: Inputs, noise: torch.Tensor) -> torch.Tensor:
        """Return actions (B, T, A) from noise of that shape; for a vlm logits (B, V)."""

    def denoiser(self, model: Any, inputs: Inputs) -> Denoiser:
        """Return the flow that ``act`` follows, its prompt computed; refused without ``flows``.

        A call with ``torch.enable_grad`` can be differentiated by its actions, and leaves nothing
        behind.
        """

    def loss(self, model: Any, batch: Batch) -> torch.Tensor:
        """Return the family's own action loss by sample, mean over draws, shape (B,)."""

    def masks(self, inputs: Inputs) -> dict[str, torch.Tensor]:
        """Return stack -> 1 for a token, 0 for padding, shape (B, T); absent: all tokens."""


def stacks(family: Family, model: Any) -> dict[str, Stack]:
    """Return the stacks of a live model by name."""
    sites = family.sites(family.config(model))
    return {site.name: Stack(model, site, family.stand_ins) for site in sites}
