"""What every family of models gives: hooks by site and layer, activations of one sample, and the model's own reading of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import BadInput, NotFound, unknown
from ..inputs.text import Tokens
from ..speech import Speech
from ..units import Activations, FrameGrid, Grid, Hook, TokenGrid, TokenSample, Waveform
from .capture import Replace, forking, replacing, taking
from .hearing import Hearing, Judged, Ways

Sample = TypeVar("Sample", Waveform, TokenSample)


@dataclass(frozen=True)
class ModelType:
    """A kind of model that a family reads."""

    name: str
    """`model_type` of transformers' config.json, or the format's own name"""
    title: str
    source: str
    """address of its description"""


@dataclass(frozen=True)
class ModelFiles:
    """Where a model's files lie on this machine, found by the shelf's hub."""

    slug: str
    paths: dict[str, Path]
    """role -> file or folder; the roles are the family's own (`folder` is a transformers folder)"""
    always_bos: bool = False
    """texts begin with the beginning-of-text token also where the tokenizer by itself would put none"""


class LoadedModel(ABC, Generic[Sample, Grid]):
    """A model in evaluation mode, float32, shared by everybody; no method changes it."""

    modality: ClassVar[Literal["audio", "text"]]
    sites: ClassVar[dict[str, tuple[str, Literal["input", "output"]]]]
    """site -> (module path with {i} for the layer, side), relative to `root`"""

    predicts: bool = False
    """whether it has a head that predicts something, so that `cross_entropy` can be asked for"""

    def __init__(self, slug: str, root: nn.Module, network: nn.Module | None = None):
        """root: the part whose modules hooks name. network: the whole, with its head, where it has one."""
        self.slug = slug
        self.root = root
        self.network = network or root

    @property
    def n_bytes(self) -> int:
        """Of all weights; those that two parts share are counted once."""
        return sum(t.nbytes for t in (*self.network.parameters(), *self.network.buffers()))

    def hook(self, site: str, layer: int) -> Hook:
        """The hook of a site at a layer, counted from 0. Raises NotFound for a site or layer that the model lacks."""
        if site not in self.sites:
            raise unknown("site", site, self.sites)
        path, side = self.sites[site]
        try:
            module = self.root.get_submodule(path.format(i=layer))
        except AttributeError:
            raise NotFound(f"There is no layer {layer} of {self.slug}; its layers are 0 to {self.n_layers - 1}.") from None
        matrix = self._matrix(module)
        width = self.width if matrix is None else matrix.shape[1 if side == "input" else 0]
        return Hook(path.format(i=layer), side, width)

    def _matrix(self, module: nn.Module) -> Tensor | None:
        """[outputs, inputs] of a linear layer; None for any other module."""
        return module.weight if isinstance(module, nn.Linear) else None

    def directions(self, hook: Hook) -> Tensor | None:
        """Where each value at the hook points in the residual stream: float32 [hook.width, width], or None if it has no linear reader.

        For the input of an FFN's second linear layer these are that layer's columns.
        """
        matrix = self._matrix(self.root.get_submodule(hook.module))
        return matrix.detach().T.float() if hook.side == "input" and matrix is not None else None

    @property
    @abstractmethod
    def grid(self) -> tuple[float, float]:
        """(hop, offset) of the positions at every hook: in seconds for sound; a text's positions count tokens, (1, 0)."""

    @property
    @abstractmethod
    def n_layers(self) -> int: ...

    @property
    @abstractmethod
    def width(self) -> int:
        """Width of the residual stream."""

    @abstractmethod
    def capture(self, sample: Sample, hooks: Sequence[Hook]) -> dict[Hook, Activations[Grid]]:
        """Activations of one sample at each hook, exact, padding left out. Nothing after the last hook is computed."""

    @abstractmethod
    def read(self, sample: Sample) -> str:
        """What the model itself reads in the sample: the transcript of a sound, the text of tokens."""


class AudioModel(LoadedModel[Waveform, FrameGrid]):
    """A model whose positions are frames of sound."""

    modality = "audio"

    def heard(self, sample: Waveform | TokenSample) -> NDArray[np.float32]:
        """[n_samples]. Raises BadInput for a sample that is no sound."""
        if not isinstance(sample, Waveform):
            raise BadInput(f"{self.slug} reads sounds, not texts. Bring a recording, or choose a dictionary over a language model.")
        return sample.samples

    has_letters = False
    """whether it names letters frame by frame"""

    def letters(self, sample: Waveform) -> Speech | None:
        """Its own letters, and the words that they spell, with their times; None where it names none."""
        return None

    @abstractmethod
    def read(self, sample: Waveform, replace: Replace | None = None) -> str:
        """What the model hears in the sound. Functions of `replace` get what `capture` gives at their hooks: no padding."""

    @abstractmethod
    def hear(self, sample: Waveform, ways: Ways, limit: Callable[[float], int], check: Callable[[], None] = lambda: None) -> Hearing:
        """What it hears in several ways that share what comes before the first change; with each its words' probabilities in the plain transcript.

        Each way hears what `read` hears in it by itself. limit: the seconds of a window -> the most tokens that it is written down with.
        `check` is called now and then, and may raise. Raises BadInput for a model that hears no words.
        """

    @abstractmethod
    def judge(self, sample: Waveform, text: str, ways: Sequence[Replace]) -> Judged:
        """How probable the words of a given transcript are in several ways. Raises BadInput for a text or a sound that cannot be judged."""


class TextModel(LoadedModel[TokenSample, TokenGrid]):
    """A causal language model whose positions are tokens."""

    modality = "text"
    final_norm: ClassVar[str] = "norm"
    """the module before the unembedding, in `root`"""
    keeps_read: ClassVar[bool] = True
    """whether its network can keep the keys and values of what it has read, as transformers' do (models/steps.py)"""

    def __init__(self, slug: str, root: Any, tokens: Tokens, n_layers: int, width: int, network: Any = None):
        """network: root with the head that predicts tokens; None for a model without."""
        super().__init__(slug, root, network)
        self.predicts = network is not None
        self._tokens, self._n_layers, self._width = tokens, n_layers, width

    @property
    def grid(self) -> tuple[float, float]:
        return 1.0, 0.0

    @property
    def n_layers(self) -> int:
        return self._n_layers

    @property
    def width(self) -> int:
        return self._width

    def tokenize(self, text: str, max_tokens: int | None = None) -> TokenSample:
        """A text as the model reads it; the family says what stands in front. Raises BadInput for a text that cannot be used."""
        return self._tokens.read(text, max_tokens)

    def sample(self, ids: Sequence[int]) -> TokenSample:
        """Tokens that are at hand already, exactly as they are."""
        return self._tokens.sample(ids)

    @property
    def before(self) -> tuple[int, ...]:
        """The tokens that begin every text."""
        return self._tokens.before

    @property
    def ends(self) -> frozenset[int]:
        """The tokens after which the model writes no more: its own, or what parts texts."""
        found = getattr(getattr(self.network, "generation_config", None), "eos_token_id", None)
        return frozenset(self.before if found is None else [found] if isinstance(found, int) else found)

    @property
    def n_context(self) -> int:
        """Most tokens that it reads, with what stands in front of the text."""
        return self._tokens.n_context

    def document(self, text: str) -> TokenSample:
        """A text of any length, to be cut into windows: nothing stands in front of it."""
        return self._tokens.document(text)

    def window(self, ids: Sequence[int]) -> TokenSample:
        """A window of a corpus as the model reads it: behind what begins every text."""
        return self._tokens.window(ids)

    def capture(self, sample: TokenSample, hooks: Sequence[Hook]) -> dict[Hook, Activations[TokenGrid]]:
        """float32 [n_tokens, width] at each hook. Raises BadInput for a sound, and for more tokens than the model has positions."""
        ids = self._ids(sample)
        with torch.inference_mode(), taking(self.root, hooks) as taken:
            self.root(ids)
        grid = TokenGrid(sample.tokens)
        return {hook: Activations(value[0].float().numpy(), grid) for hook, value in taken.items()}

    def _ids(self, sample: TokenSample | Waveform) -> Tensor:
        """[1, n_tokens]"""
        if not isinstance(sample, TokenSample):
            raise BadInput(f"{self.slug} reads texts, not sounds. Bring a text, or choose a dictionary over a speech model.")
        if not 1 <= len(sample.ids) <= self._tokens.n_context:
            raise BadInput(f"The sample has {len(sample.ids)} tokens; {self.slug} reads 1 to {self._tokens.n_context} at once.")
        return torch.tensor([sample.ids])

    def logits(self, sample: TokenSample, replace: Replace | None = None) -> Tensor:
        """float32 [n_positions, vocabulary]: what the model expects after each of the text's own tokens (row 0 follows the first of them).

        Functions of `replace` get what `capture` gives at their hooks, [n_tokens, width] with what stands in front of the text. Raises BadInput
        as `capture` does, and for a model without the head that predicts tokens.
        """
        return self._logits(sample, replacing(self.root, replace or {}))[0]

    def logits_in(self, sample: TokenSample, ways: Sequence[Replace]) -> Tensor:
        """float32 [n_ways, n_positions, vocabulary]: the same in several ways, which share what comes before the first change."""
        return self._logits(sample, forking(self.root, ways)).expand(len(ways), -1, -1)

    def _logits(self, sample: TokenSample, changing: AbstractContextManager[None]) -> Tensor:
        """[batch, n_positions, vocabulary]"""
        self.check_head()
        ids = self._ids(sample)
        with torch.inference_mode(), changing:
            found = self.network(ids)
        return (found if isinstance(found, Tensor) else found.logits)[:, sample.n_before :].float()

    def check_head(self) -> None:
        """Raise BadInput for a model without the head that predicts tokens."""
        if not self.predicts:
            raise BadInput(f"{self.slug} was saved without the head that predicts tokens. Fetch the causal language model to see what it expects.")

    def readout(self) -> Tensor:
        """float32 [vocabulary, width], W_U times the final norm's weight: what a direction of the stream adds to the logits, up to one factor a position.

        A layer norm takes each direction's mean away, and so do these rows. Raises BadInput for a model without the head that predicts tokens.
        """
        self.check_head()
        norm = self.root.get_submodule(self.final_norm)
        with torch.inference_mode():
            rows = self._unembedding().float() * self._gain(norm)
            return rows - rows.mean(dim=1, keepdim=True) if isinstance(norm, nn.LayerNorm) else rows

    def _unembedding(self) -> Tensor:
        """[vocabulary, width]"""
        return self.network.get_output_embeddings().weight  # type: ignore[operator]

    def _gain(self, norm: Any) -> Tensor | float:
        """The final norm's weight [width]."""
        return 1.0 if norm.weight is None else norm.weight.float()

    def cross_entropy(self, sample: TokenSample, replace: Replace | None = None) -> NDArray[np.float32]:
        """[n_positions - 1]: -log of the probability, in nats, that the model gives to the token after each of the text's own, but the last."""
        return next_token_losses(self.logits(sample, replace), sample)

    def tokens_of(self, ids: Sequence[int]) -> tuple[str, ...]:
        """What each token prints by itself, such as one that the model expects next; bytes that are no text alone as in <0xE6><0x97>."""
        return tuple(map(self._tokens.alone, ids))

    def written(self, ids: Sequence[int]) -> str:
        """What tokens print together, as far as it is whole characters."""
        return self._tokens.written(ids)

    def read(self, sample: TokenSample) -> str:
        """The text itself, as the tokens print it."""
        return sample.text


def next_token_losses(logits: Tensor, sample: TokenSample) -> NDArray[np.float32]:
    """[n_positions - 1] from the logits [n_positions, vocabulary] of the sample's own tokens."""
    return F.cross_entropy(logits[:-1], torch.tensor(sample.ids[sample.n_before + 1 :], dtype=torch.long), reduction="none").numpy()
