"""Training of an autoencoder on stored activations; resumable, logged, judged on what it never saw. The steps are earmark/learning's."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ... import __version__
from ...atomic import new_file
from ...dictionaries.base import SparseAutoencoder
from ...errors import BadInput
from ...learning.loop import Training
from ...learning.positions import Positions
from ...learning.settings import TrainSettings
from ...learning.trainee import Trainee
from ...measure.quality import Quality, QualityMeter
from ..workers import work_folder
from .source import Source

CHECKPOINT_S = 60.0
LOG_STEPS = 50
CHECKPOINT, LOG = "checkpoint.pt", "training.jsonl"
_PART = 4096
Log = list[dict[str, float]]


@dataclass(frozen=True)
class How:
    """What does not change what is learned, but for rounding."""

    device: str = "cpu"
    """auto: a GPU where there is one"""
    log_steps: int = LOG_STEPS
    resume: bool = False
    """insist that there is a stopped run to go on with; without it one goes on where there is one"""

    def __post_init__(self) -> None:
        if self.log_steps < 1:
            raise BadInput(f"Metrics every {self.log_steps} steps cannot be; at least 1 is needed.")
        if self.device.split(":")[0] not in ("auto", "cpu", "cuda"):
            raise BadInput(f"device is '{self.device[:40]}'; valid: auto, cpu, cuda, cuda:0 and so on.")
        if self.device.startswith("cuda") and not torch.cuda.is_available():
            raise BadInput("This torch finds no GPU; leave --device out, or install a torch with CUDA.")

    @property
    def on(self) -> str:
        return ("cuda" if torch.cuda.is_available() else "cpu") if self.device == "auto" else self.device


def train(source: Source, settings: TrainSettings, cache: Path, how: How = How()) -> tuple[SparseAutoencoder, Log]:
    """Train, or go on from the last checkpoint of the same settings and activations. Returns the folded autoencoder and the log.

    Raises BadInput when training diverges.
    """
    folder = run_folder(source, settings, cache, how)
    if how.resume and not (folder / CHECKPOINT).exists():
        raise BadInput("There is no stopped run of these settings on these activations; leave --resume out to begin one.")
    model, log = fit(source.x, settings, folder, how)
    return model.folded(), log


def run_folder(source: Source, settings: TrainSettings, cache: Path, how: How = How()) -> Path:
    """Where the checkpoint of a run lies, and its metrics as they come."""
    told = [asdict(settings), source.key, len(source.x), __version__, *([] if how.on == "cpu" else [how.on.split(":")[0]])]
    return work_folder(cache, "training", hashlib.sha256(json.dumps(told).encode()).hexdigest()[:12])


def fit(x: Positions, settings: TrainSettings, folder: Path, how: How = How()) -> tuple[Trainee, Log]:
    """The loop. `folder` keeps the checkpoint, which is all that the next step depends on, and the metrics as lines of JSON."""
    training = Training(x, settings, how.on)
    log: Log = []
    _resume(folder / CHECKPOINT, training, log)
    if training.step == settings.n_steps:
        sys.stderr.write("earmark: this training was finished before; nothing is trained, its result is written once more.\n")
    saved_at = time.monotonic()
    with (folder / LOG).open("w", encoding="utf-8") as lines, tqdm(total=settings.n_steps, initial=training.step, unit="step", mininterval=1.0) as bar:
        bar.set_description("Training")
        lines.writelines(json.dumps(line) + "\n" for line in log)
        for step in training.steps():
            bar.update(1)
            if step.number % how.log_steps == 0 or step.number == settings.n_steps - 1:
                metrics = step.metrics()
                log.append(metrics.json())
                lines.write(json.dumps(log[-1]) + "\n")
                lines.flush()
                told = f"loss={metrics.loss:.4g}, fvu={metrics.fvu:.3f}, l0={metrics.l0:.1f}, dead={metrics.dead:.1%}"
                bar.set_postfix_str(told, refresh=False)
            if time.monotonic() - saved_at > CHECKPOINT_S:
                _checkpoint(folder / CHECKPOINT, training, log)
                saved_at = time.monotonic()
    _checkpoint(folder / CHECKPOINT, training, log)
    return training.model, log


def _checkpoint(path: Path, training: Training, log: Log) -> None:
    """Whole or not at all: a run that is killed while it writes goes on from the one before."""
    with new_file(path) as file:
        torch.save(training.state() | {"log": log}, file)


def _resume(path: Path, training: Training, log: Log) -> None:
    if not path.exists():
        return
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        training.restore(state)
    except (OSError, RuntimeError, KeyError, ValueError, EOFError, UnpicklingError) as error:
        raise BadInput(f"The checkpoint {path} cannot be read ({type(error).__name__}). Remove it and train again.") from None
    log.extend(state["log"])


def judge(sae: SparseAutoencoder, parts: Iterable[NDArray[np.float32]]) -> Quality:
    """Figures over activations [n_i, width], part by part."""
    meter = QualityMeter(sae.n_units, sae.width)
    for part in parts:
        for start in range(0, len(part), _PART):
            x = part[start : start + _PART]
            f = sae.encode(torch.as_tensor(x)).dense()
            meter.add(x, sae.decode(torch.as_tensor(f)).numpy(), f)
    return meter.result()
