"""What every family of models gives: hooks by site and layer, activations of one sample, and the model's own reading of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from torch import Tensor, nn

from ..errors import unknown
from ..units import Activations, Hook, Waveform

Site = Literal["residual", "neurons", "preactivation"]


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's files lie on this machine, found by the shelf's hub."""

    slug: str
    paths: dict[str, Path]
    """role -> file or folder; the roles are the family's own (`folder` is a transformers folder)"""


class LoadedModel(ABC):
    """A model in evaluation mode, shared by everybody; no method changes it."""

    sites: ClassVar[dict[str, tuple[str, Literal["input", "output"]]]]
    """site -> (module path with {i} for the layer, side), relative to `root`"""

    def __init__(self, slug: str, root: nn.Module):
        self.slug = slug
        self.root = root

    def hook(self, site: str, layer: int) -> Hook:
        """The hook of a site at a layer, counted from 0. Raises NotFound for a site or layer that the model lacks."""
        if site not in self.sites:
            raise unknown("site", site, self.sites)
        path, side = self.sites[site]
        try:
            module = self.root.get_submodule(path.format(i=layer))
        except AttributeError:
            raise unknown(f"layer of {self.slug}", str(layer), map(str, range(self.n_layers))) from None
        return Hook(path.format(i=layer), side, self._width(module, side))

    def _width(self, module: nn.Module, side: str) -> int:
        if isinstance(module, nn.Linear):
            return module.in_features if side == "input" else module.out_features
        return self.width

    def directions(self, hook: Hook) -> Tensor | None:
        """Where each value at the hook points in the residual stream: float32 [hook.width, width], or None if it has no linear reader.

        For the input of an FFN's second linear layer these are that layer's columns.
        """
        module = self.root.get_submodule(hook.module)
        if hook.side == "input" and isinstance(module, nn.Linear):
            return module.weight.detach().T.float()
        return None

    @property
    @abstractmethod
    def grid(self) -> tuple[float, float]:
        """(hop_s, offset_s) of the positions at every hook."""

    @property
    @abstractmethod
    def n_layers(self) -> int: ...

    @property
    @abstractmethod
    def width(self) -> int:
        """Width of the residual stream."""

    @abstractmethod
    def capture(self, sample: Waveform, hooks: Sequence[Hook]) -> dict[Hook, Activations]:
        """Activations of one sample at each hook, exact, padding left out. Nothing after the last hook is computed."""

    @abstractmethod
    def read(self, sample: Waveform) -> str:
        """What the model itself reads in the sample: its transcript."""
