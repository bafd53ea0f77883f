"""A training that is done: its autoencoder, its losses, and what its latents do on the text or clip that it was trained on. No torch by itself."""

from __future__ import annotations

import io
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...experiments import GUEST, Experiment
from ...inputs.mel import mel_grey
from ...units import FrameGrid, Hook
from ..line.kept import Clip
from ..texts.passage import Passage
from .latents import Latents, in_order, latents_of
from .material import Material, Source

if TYPE_CHECKING:
    from ...dictionaries.base import Codes, SparseAutoencoder
    from .fit import Fitted

N_HEAT = 200
"""latents in the heatmap and in the JSON"""


@dataclass(frozen=True, eq=False)
class Run:
    """One of them, as long as it is kept."""

    token: str
    experiment: Experiment
    source: Source
    hook: Hook
    layer: int
    n_layers: int
    n_counted: int
    """positions it was trained on"""
    fitted: Fitted
    latents: Latents
    passage: Passage | None
    """of a text"""
    clip: Clip | None
    """of a sound"""
    notices: tuple[str, ...] = ()

    @property
    def slug(self) -> str:
        return GUEST + self.token

    @property
    def sae(self) -> SparseAutoencoder:
        return self.fitted.sae

    @property
    def codes(self) -> Codes:
        where = self.passage or self.clip
        assert where is not None
        return where.codes[self.slug]

    @property
    def values(self) -> NDArray[np.float32]:
        """[n_positions, n_units]; 0 at attention sinks"""
        return self.codes.dense()

    @property
    def n_bytes(self) -> int:
        weights = self.sae.W_enc.nbytes + self.sae.W_dec.nbytes
        return weights + sum(part.n_bytes for part in (self.passage, self.clip, self.source.sound) if part is not None)

    def strongest(self, order: str, n: int = N_HEAT) -> NDArray[np.int64]:
        """The first n latents in an order."""
        return in_order(self.latents, order)[:n]

    def json(self, order: str = "activity") -> dict[str, Any]:
        """Settings, losses, every latent's figures, and the values of the first ones in an order."""
        units, values, f = self.strongest(order), self.values, self.latents
        return {
            "experiment": self.experiment.json(),
            "hook": str(self.hook),
            "layer": self.layer,
            "n_positions": self.n_counted,
            "n_units": self.sae.n_units,
            "k": self.sae.k,
            "n_steps": self.fitted.n_steps,
            "ended": self.fitted.ended,
            "seconds": round(self.fitted.seconds, 3),
            "fvu": self.fitted.fvu,
            "l0": f.l0,
            "dead": f.dead,
            "losses": {name: line.tolist() for name, line in self.fitted.losses.items()},
            "tokens": list(self.passage.tokens) if self.passage else None,
            "left_out": np.flatnonzero(self.passage.sinks).tolist() if self.passage else [],
            "latents": {name: getattr(f, name).tolist() for name in ("density", "mean", "typical", "peak")},
            "values": {str(unit): values[:, unit].tolist() for unit in units},
        }

    def zip(self) -> bytes:
        """The autoencoder in SAELens's layout, with its settings in cfg.json, as an archive."""
        from ...dictionaries import saelens

        told = {"model_name": self.experiment.model, "hook_name": str(self.hook), "layer": self.layer, "site": self.experiment.site}
        told |= {"earmark": {"experiment": self.experiment.json(), "n_steps": self.fitted.n_steps, "n_positions": self.n_counted, "fvu": self.fitted.fvu}}
        packed = io.BytesIO()
        with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            saelens.save(self.sae, Path(folder), told)
            for file in sorted(Path(folder).iterdir()):
                archive.write(file, f"earmark-lab/{file.name}")
        return packed.getvalue()


def made(experiment: Experiment, source: Source, material: Material, fitted: Fitted) -> Run:
    """What a training of some material gave."""
    token = experiment.name(source.name)
    codes = fitted.sae.codes(material.x).spread(material.counted)
    found, passage, clip = {GUEST + token: codes}, None, None
    if material.tokens is not None:
        passage = Passage(source.text, material.tokens, ~material.counted, found, experiment.model, material.layer)
    else:
        clip = _clip(source, material, found)
    return Run(
        token, experiment, source, material.hook, material.layer, material.n_layers, int(material.counted.sum()), fitted,
        latents_of(codes.dense(), material.counted), passage, clip, (*material.notices, *_diverged(fitted)),
    )  # fmt: skip


def _diverged(fitted: Fitted) -> tuple[str, ...]:
    """What is said of an autoencoder that would better have learned nothing."""
    if fitted.fvu <= 1:
        return ()
    return (f"This training went astray: FVU is {fitted.fvu:.3g}, and the mean of all positions in place of each would give 1. Choose a lower rate.",)


def _clip(source: Source, material: Material, codes: dict[str, Codes]) -> Clip:
    from ...inputs.audio import sound_file

    sound, grid = material.waveform, material.grid
    assert sound is not None and isinstance(grid, FrameGrid) and source.sound is not None
    return Clip(sound_file(sound, "WAV"), mel_grey(sound), grid, sound.duration_s, "", codes, sample=source.sound.sample)
