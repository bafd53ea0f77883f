"""SAEDashboard's work on the contexts that `dashboard` exports; run by the Python of an environment of its own (requirements-dashboard.txt).

`python benchmarks/dashboard_peer.py FOLDER` reads model/ (as transformers saves a Llama), sae/ (SAELens's layout) and asked.json, tokens.npy
[n, n_tokens] with what begins every text, x.npy [n_tokens, width] of the first context at the hook, and prints {cpu_s, n_features, dashboards, off}.
The model is built by hand: TransformerLens fetches the configuration of those that it knows by name, and knows none without the Hub.
"""

from __future__ import annotations

import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch


def hooked(folder: Path) -> Any:
    """A Llama as TransformerLens has it: its configuration and weights from a folder of transformers."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    lens = import_module("transformer_lens")
    said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    turns = said.pop("rope_parameters", {})
    settings: dict[str, Any] = {"rope_theta": 10_000.0, **said, **turns}
    llama = LlamaForCausalLM(LlamaConfig(**settings))
    llama.load_state_dict(import_module("safetensors.torch").load_file(folder / "model.safetensors"), strict=False)
    size = llama.config
    head = size.head_dim or size.hidden_size // size.num_attention_heads
    config = lens.HookedTransformerConfig(
        n_layers=size.num_hidden_layers, d_model=size.hidden_size, n_ctx=512, d_head=head, n_heads=size.num_attention_heads,
        n_key_value_heads=size.num_key_value_heads, d_mlp=size.intermediate_size, d_vocab=size.vocab_size, act_fn="silu", normalization_type="RMS",
        positional_embedding_type="rotary", rotary_dim=head, rotary_base=int(size.rope_theta), rotary_adjacent_pairs=False, final_rms=True, gated_mlp=True,
        eps=size.rms_norm_eps, original_architecture="LlamaForCausalLM", device="cpu", dtype=torch.float32,
    )  # fmt: skip
    names = {name: mark for name, mark in json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8")).items() if name.endswith("_token")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), name_or_path="here", add_bos_token=True, **names)
    model = import_module("sae_lens").HookedSAETransformer(config, tokenizer=tokenizer)
    weights = import_module("transformer_lens.pretrained.weight_conversions").convert_llama_weights(llama, config)
    model.load_state_dict(model.fill_missing_keys(weights), strict=False)
    return model.eval()


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    asked = json.loads((folder / "asked.json").read_text(encoding="utf-8"))
    model, sae = hooked(folder / "model"), import_module("sae_lens").SAE.load_from_disk(folder / "sae", device="cpu")
    if hasattr(sae.cfg, "rescale_acts_by_decoder_norm"):
        sae.cfg.rescale_acts_by_decoder_norm = True  # it insists on folding the norms of the decoder's rows, which are 1 already
    tokens, hook = torch.as_tensor(np.load(folder / "tokens.npy")).long(), f"blocks.{asked['layer']}.hook_resid_post"
    with torch.inference_mode():
        _, seen = model.run_with_cache(tokens[:1], names_filter=hook, stop_at_layer=asked["layer"] + 1)
    x = np.load(folder / "x.npy")
    off = float(np.abs(seen[hook][0, 1:].numpy() - x[1:]).max() / np.abs(x[1:]).max())
    features = list(range(asked["n_features"]))
    config = import_module("sae_dashboard.sae_vis_data").SaeVisConfig(hook, features, ignore_positions=[0], ignore_high_activation_norm_multiple=4.0)
    before = time.process_time()
    found = import_module("sae_dashboard.sae_vis_runner").SaeVisRunner(config).run(encoder=sae, model=model, tokens=tokens)
    spent = time.process_time() - before
    print(json.dumps({"cpu_s": spent, "n_features": len(features), "dashboards": len(found.feature_data_dict), "off": off}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
