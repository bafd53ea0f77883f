"""A process that `training` times: one library's steps of training as many as it is told to, or a training's memory.

`python -m benchmarks.training_steps WHO KIND` reads numbers of steps from stdin and answers `cpu SECONDS`; `... memory|mapped X.npy` prints the
megabytes that a training on that file holds. The libraries' own trainers are used where they can be had without a model: sae-lens's SAETrainer.step,
dictionary_learning's update; of sparsify, whose trainer runs a model, the same lines around its SparseCoder.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .figures import cpu_s, memory_mb

N, WIDTH, N_UNITS, K, BATCH, RATE = 16_384, 576, 4608, 32, 2048, 1e-4
Step = Callable[[Tensor], object]


def ours(kind: str, x: Tensor) -> Callable[[], object]:
    from earmark.learning.loop import Training
    from earmark.learning.settings import usual

    settings = usual(kind, n_units=N_UNITS, k=K, batch=BATCH, lr=RATE, n_activations=BATCH * 100_000, aux=1 / 32 if "topk" in kind else 0.0)
    steps = Training(x, replace(settings, scaling="none")).steps()
    return lambda: next(steps)


def sae_lens(kind: str) -> Step:
    library, settings = import_module("sae_lens"), import_module("sae_lens.config")
    shape: dict[str, Any] = {"d_in": WIDTH, "d_sae": N_UNITS, "apply_b_dec_to_input": False}
    name, own = {"topk": ("TopK", {"k": K}), "batchtopk": ("BatchTopK", {"k": K}), "l1": ("Standard", {"l1_coefficient": 5.0})}[kind]
    sae = getattr(library, f"{name}TrainingSAE")(getattr(library, f"{name}TrainingSAEConfig")(**shape, **own))
    config = settings.SAETrainerConfig(BATCH * 100_000, BATCH, lr=RATE, lr_end=RATE / 10, logger=settings.LoggingConfig(log_to_wandb=False))
    trainer = import_module("sae_lens.training.sae_trainer").SAETrainer(config, sae, iter(()))

    def step(batch: Tensor) -> None:
        trainer.step(batch)
        trainer.n_training_steps += 1

    return step


def sparsify(kind: str) -> Step:
    assert kind == "topk"
    library = import_module("sparsify")
    sae = library.SparseCoder(WIDTH, library.SparseCoderConfig(num_latents=N_UNITS, k=K))
    optimiser = torch.optim.Adam(sae.parameters(), lr=RATE)
    fired = torch.zeros(N_UNITS, dtype=torch.int64)

    def step(batch: Tensor) -> None:
        sae.set_decoder_norm_to_unit_norm()
        out = sae(batch, dead_mask=fired > 10_000_000)
        did = torch.zeros(N_UNITS, dtype=torch.bool)
        did[out.latent_indices.flatten()] = True
        fired.add_(len(batch))
        fired[did] = 0
        (out.fvu + out.auxk_loss / 32).backward()
        sae.remove_gradient_parallel_to_decoder_directions()
        torch.nn.utils.clip_grad_norm_(sae.parameters(), 1.0)
        optimiser.step()  # pyright: ignore[reportUnknownMemberType] -- its closure has no type
        optimiser.zero_grad()

    return step


def dictionary_learning(kind: str) -> Step:
    stand_in = types.ModuleType("nnsight")
    vars(stand_in).update(LanguageModel=object)  # named in annotations only
    sys.modules["nnsight"] = stand_in
    shape: dict[str, Any] = {"activation_dim": WIDTH, "dict_size": N_UNITS, "lr": RATE, "steps": 100_000, "layer": 0, "lm_name": "none", "device": "cpu"}
    module, name, own = {
        "topk": ("top_k", "TopKTrainer", {"k": K}),
        "batchtopk": ("batch_top_k", "BatchTopKTrainer", {"k": K}),
        "l1": ("standard", "StandardTrainerAprilUpdate", {"l1_penalty": 5.0}),
    }[kind]
    trainer = getattr(import_module(f"dictionary_learning.trainers.{module}"), name)(**shape, **own)
    number = iter(range(1, 100_000))  # its step 0 also looks for a geometric median

    def step(batch: Tensor) -> None:
        trainer.update(next(number), batch)

    return step


def serve(who: str, kind: str) -> None:
    """Steps as they are asked for."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(N, WIDTH, generator=generator)
    if who == "ours":
        once = ours(kind, x)
    else:
        step = {"sae_lens": sae_lens, "sparsify": sparsify, "dictionary_learning": dictionary_learning}[who](kind)

        def once() -> object:
            return step(x[torch.randint(N, (BATCH,), generator=generator)])

    for line in sys.stdin:
        print(f"cpu {cpu_s(lambda line=line: [once() for _ in range(int(line))])}", flush=True)


def held(way: str, path: Path) -> float:
    """MB of anonymous memory after two steps on a file, read into memory or mapped."""
    from earmark.learning.loop import Training
    from earmark.learning.settings import usual
    from earmark.offline.training import source

    if way == "mapped":
        source.MAX_BYTES = 0
    x = source.of_files(path, 0.1).x
    training = Training(x, usual("topk", n_units=N_UNITS, k=K, batch=BATCH, n_activations=BATCH * 2))
    list(training.steps())
    return memory_mb("RssAnon")


if __name__ == "__main__":
    if sys.argv[1] in ("memory", "mapped"):
        print(held(sys.argv[1], Path(sys.argv[2])))
    else:
        serve(*sys.argv[1:3])
