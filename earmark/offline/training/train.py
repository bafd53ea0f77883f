"""Training of an autoencoder on stored activations; resumable, logged, evaluated on held-out samples.

The steps themselves are earmark/learning's.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from ... import __version__
from ...dictionaries.base import SparseAutoencoder
from ...errors import BadInput
from ...learning.loop import Training
from ...learning.settings import TrainSettings
from ...learning.trainee import Trainee
from ...measure.quality import Quality, QualityMeter
from ..workers import work_folder
from .harvest import Harvest

CHECKPOINT_S = 60.0
LOG_STEPS = 50
MAX_BYTES = 6 << 30
"""training positions are held in memory; more than this is refused"""


def is_held_out(sample_id: str, share: float) -> bool:
    """Whether a sample is kept from training; depends on its id alone."""
    return int.from_bytes(hashlib.sha256(sample_id.encode()).digest()[:4], "big") / 2**32 < share


def train(harvest: Harvest, settings: TrainSettings, cache: Path) -> tuple[SparseAutoencoder, list[dict[str, float]]]:
    """Train, or go on from the last checkpoint of the same settings. Returns the folded autoencoder and the log.

    Raises BadInput when training diverges.
    """
    x = training_positions(harvest, settings.held_out_share)
    key = hashlib.sha256(json.dumps([asdict(settings), str(harvest.folder), len(x), __version__]).encode()).hexdigest()[:12]
    model, log = fit(x, settings, work_folder(cache, "training", key))
    return model.folded(), log


def training_positions(harvest: Harvest, held_out_share: float) -> Tensor:
    """[n, width] of all samples that are not held out."""
    train_rows = np.array([not is_held_out(name, held_out_share) for name in harvest.corpus.ids])
    if train_rows.all() or not train_rows.any():
        raise BadInput(f"Of {len(train_rows)} samples {int((~train_rows).sum())} are held out; some must be and some must not. Take a larger corpus.")
    n = sum(int(train_rows[rows].sum()) for _, rows in harvest.groups())
    if n * harvest.hook.width * 4 > MAX_BYTES:
        raise BadInput(f"The activations take more than {MAX_BYTES >> 30} GiB of memory. Train on a smaller corpus.")
    x = np.empty((n, harvest.hook.width), np.float32)
    filled = 0
    for values, rows in harvest.groups():
        part = values[train_rows[rows]]
        x[filled : filled + len(part)] = part
        filled += len(part)
    return torch.from_numpy(x)


def fit(x: Tensor, settings: TrainSettings, folder: Path) -> tuple[Trainee, list[dict[str, float]]]:
    """The loop. `folder` keeps the checkpoint: all that the next step depends on."""
    training = Training(x, settings)
    log: list[dict[str, float]] = []
    _resume(folder / "checkpoint.pt", training, log)
    saved_at = time.monotonic()
    with tqdm(total=settings.n_steps, initial=training.step, desc="Training", unit="step", mininterval=1.0) as bar:
        for step in training.steps():
            bar.update(1)
            if step.number % LOG_STEPS == 0 or step.number == settings.n_steps - 1:
                metrics = step.metrics()
                log.append(metrics.json())
                bar.set_postfix(fvu=f"{metrics.fvu:.3f}")
            if time.monotonic() - saved_at > CHECKPOINT_S:
                _checkpoint(folder / "checkpoint.pt", training, log)
                saved_at = time.monotonic()
    _checkpoint(folder / "checkpoint.pt", training, log)
    return training.model, log


def _checkpoint(path: Path, training: Training, log: list[dict[str, float]]) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save(training.state() | {"log": log}, fresh)
    os.replace(fresh, path)


def _resume(path: Path, training: Training, log: list[dict[str, float]]) -> None:
    if not path.exists():
        return
    try:
        state = torch.load(path, weights_only=True)
        training.restore(state)
    except (OSError, RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as error:
        raise BadInput(f"The checkpoint {path} cannot be read ({type(error).__name__}). Remove it and train again.") from None
    log.extend(state["log"])


def evaluate(sae: SparseAutoencoder, harvest: Harvest, chosen: Callable[[str], bool]) -> Quality:
    """Figures over the samples whose id is chosen."""
    keep = np.array([chosen(name) for name in harvest.corpus.ids])
    meter = QualityMeter(sae.n_units, sae.width)
    for values, rows in harvest.groups():
        x = values[keep[rows]]
        if len(x):
            f = sae.encode(torch.from_numpy(x)).dense()
            meter.add(x, sae.decode(torch.from_numpy(f)).numpy(), f)
    return meter.result()
