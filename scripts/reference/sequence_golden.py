#!/usr/bin/env python3
"""Makes tests/golden/sequences: tiny random Mamba and Hyena models and their log-probabilities.

Needs PyTorch and transformers; the product and its tests do not.  Usage:

    python3 scripts/reference/sequence_golden.py [OUTPUT_FOLDER]

Each case is a folder with config.json, model.safetensors (bfloat16, exact) and expected.json: token ids, and for each
token after the first its log-probability given all before it.  Mamba's are those of transformers'
MambaForCausalLM in float32; Hyena's come from the definition below in float64, with every convolution as a sum.
"""
import json
import math
import pathlib
import sys

import torch
import transformers as hf
from safetensors.torch import save_file

TOKENS = 150


def log_probs(logits, ids):
    return torch.log_softmax(logits[:-1].double(), -1)[torch.arange(len(ids) - 1), ids[1:]].tolist()


def some_ids(vocabulary):
    return torch.randint(0, vocabulary, (TOKENS,), generator=torch.Generator().manual_seed(3))


def write(folder, config, weights, ids, expected):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file({k: v.to(torch.bfloat16).contiguous() for k, v in weights.items()}, str(folder / "model.safetensors"))
    (folder / "expected.json").write_text(json.dumps({"tokens": ids.tolist(), "logprobs": expected}) + "\n")


def mamba(folder, seed, **config):
    torch.manual_seed(seed)
    model = hf.MambaForCausalLM(hf.MambaConfig(vocab_size=256, use_mambapy=False, **config)).float().eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name.endswith(("D", "norm.weight", "norm_f.weight")):
                p.add_(0.2 * torch.randn_like(p))
            elif name.endswith("A_log"):
                p.add_(0.3 * torch.randn_like(p))
            elif name.endswith(("conv1d.bias", "in_proj.bias", "out_proj.bias")):
                p.copy_(0.2 * torch.randn_like(p))
            elif "dt_proj" not in name:
                scale = (0.3 if model.config.tie_word_embeddings else 2) if "embeddings" in name else 1 / math.sqrt(p.shape[-1])
                p.copy_(torch.randn_like(p) * scale)
            p.copy_(p.to(torch.bfloat16))
    ids = some_ids(256)
    with torch.no_grad():
        logits = model(ids[None], use_cache=False).logits[0]
    weights = {k: v for k, v in model.state_dict().items() if not (k == "lm_head.weight" and
                                                                  model.config.tie_word_embeddings)}
    keep = ("model_type", "vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size", "state_size", "expand",
            "conv_kernel", "time_step_rank", "use_bias", "use_conv_bias", "layer_norm_epsilon", "hidden_act",
            "tie_word_embeddings")
    full = model.config.to_dict()
    write(folder, {k: full[k] for k in keep}, weights, ids, log_probs(logits, ids))


def layer_norm(x, w, b, eps):
    x = x - x.mean(-1, keepdim=True)
    return x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps) * w + b


def causal_sum(x, k):
    """y[t, c] = sum over j <= t of k[t - j, c] x[j, c]."""
    y = torch.zeros_like(x)
    for t in range(len(x)):
        y[t] = (k[:t + 1].flip(0) * x[:t + 1]).sum(0)
    return y


def hyena_logits(w, c, ids):
    """Hyena (arXiv 2302.10866) of order 2, blocks as in the published language models."""
    length, width = len(ids), c["d_model"]
    p = "hyena.backbone."
    x = w[p + "embeddings.word_embeddings.weight"][ids]
    bands = (c["emb_dim"] - 1) // 2
    place = torch.arange(c["max_seq_len"], dtype=torch.float64)
    t = place[:, None] / (c["max_seq_len"] - 1)
    angle = torch.linspace(1e-4, bands - 1, bands, dtype=torch.float64) * (2 * math.pi * place / c["max_seq_len"])[:, None]
    computed = torch.cat([t, torch.cos(angle), -torch.sin(angle)], -1)
    for i in range(c["n_layer"]):
        b = f"{p}layers.{i}."
        f = b + "mixer.filter_fn."
        z = w[f + "pos_emb.z"][0] if f + "pos_emb.z" in w else computed
        h = z[:length]
        for j in range(c["num_inner_mlps"] + 1):
            h = h @ w[f"{f}implicit_filter.{2 * j}.weight"].T + w[f"{f}implicit_filter.{2 * j}.bias"]
            h = torch.sin(w[f + "implicit_filter.1.freq"][0] * h)
        h = h @ w[f"{f}implicit_filter.{2 * c['num_inner_mlps'] + 2}.weight"].T
        if f + "modulation.deltas" in w:
            deltas = w[f + "modulation.deltas"][0, 0].abs()
        else:
            deltas = torch.linspace(math.log(100) / 1.5, math.log(100) / 0.3, width, dtype=torch.float64)
        h = h * (torch.exp(-t[:length] * deltas) + 0.05)

        u = layer_norm(x, w[b + "norm1.weight"], w[b + "norm1.bias"], 1e-5)
        u = u @ w[b + "mixer.in_proj.weight"].T + w[b + "mixer.in_proj.bias"]
        short = w[b + "mixer.short_filter.weight"][:, 0].T.flip(0)  # flipped: the last tap is the token itself
        padded = torch.zeros(length, 3 * width, dtype=torch.float64)
        padded[:short.shape[0]] = short
        u = causal_sum(u, padded) + w[b + "mixer.short_filter.bias"]
        gate, x1, v = u[:, :width], u[:, width:2 * width], u[:, 2 * width:]
        v = v * x1
        y = (causal_sum(v, h) + w[f + "bias"] * v) * gate
        x = x + y @ w[b + "mixer.out_proj.weight"].T + w[b + "mixer.out_proj.bias"]
        u = layer_norm(x, w[b + "norm2.weight"], w[b + "norm2.bias"], 1e-5)
        u = torch.nn.functional.gelu(u @ w[b + "mlp.fc1.weight"].T + w[b + "mlp.fc1.bias"], approximate="tanh")
        x = x + u @ w[b + "mlp.fc2.weight"].T + w[b + "mlp.fc2.bias"]
    x = layer_norm(x, w[p + "ln_f.weight"], w[p + "ln_f.bias"], c["layer_norm_epsilon"])
    return x @ w.get("lm_head.weight", w[p + "embeddings.word_embeddings.weight"]).T


def hyena(folder, seed, with_buffers, tied, **config):
    c = dict(model_type="hyenadna", layer_norm_epsilon=1e-5, short_filter_order=3, hyena_order=2,
             pad_vocab_size_multiple=8, vocab_size=251, tie_word_embeddings=tied, **config)
    g = torch.Generator().manual_seed(seed)
    w = {}

    def put(name, *shape, scale=None, centre=0.0):
        scale = 1 / math.sqrt(shape[-1]) if scale is None else scale
        w[name] = (centre + scale * torch.randn(*shape, generator=g)).to(torch.bfloat16).double()

    width, inner, order, rows = c["d_model"], c["d_inner"], c["filter_order"], 256
    p = "hyena.backbone."
    put(p + "embeddings.word_embeddings.weight", rows, width, scale=0.3 if tied else 1)
    for i in range(c["n_layer"]):
        b = f"{p}layers.{i}."
        f = b + "mixer.filter_fn."
        for n in ("norm1", "norm2"):
            put(b + n + ".weight", width, scale=0.1, centre=1.0)
            put(b + n + ".bias", width, scale=0.1)
        for n, out, into in (("mixer.in_proj", 3 * width, width), ("mixer.out_proj", width, width),
                             ("mlp.fc1", inner, width), ("mlp.fc2", width, inner)):
            put(b + n + ".weight", out, into)
            put(b + n + ".bias", out, scale=0.1)
        put(b + "mixer.short_filter.weight", 3 * width, 1, 3, scale=0.6)
        put(b + "mixer.short_filter.bias", 3 * width, scale=0.1)
        put(f + "bias", width, scale=1)
        sizes = [c["emb_dim"]] + [order] * (c["num_inner_mlps"] + 1)
        for j in range(len(sizes) - 1):
            put(f"{f}implicit_filter.{2 * j}.weight", sizes[j + 1], sizes[j])
            put(f"{f}implicit_filter.{2 * j}.bias", sizes[j + 1], scale=0.3)
        put(f"{f}implicit_filter.{2 * len(sizes) - 2}.weight", width, order)
        put(f + "implicit_filter.1.freq", 1, order, scale=0.5, centre=c["activation_freq"])
        if with_buffers:
            put(f + "pos_emb.z", 1, c["max_seq_len"], c["emb_dim"], scale=1)
            put(f + "modulation.deltas", 1, 1, width, scale=3, centre=-9.0)
    put(p + "ln_f.weight", width, scale=0.1, centre=1.0)
    put(p + "ln_f.bias", width, scale=0.1)
    if not tied:
        put("lm_head.weight", rows, width, scale=0.5)
    ids = some_ids(251)
    write(folder, c, w, ids, log_probs(hyena_logits(w, c, ids), ids))


def main():
    out = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/golden/sequences")
    mamba(out / "mamba", 1, hidden_size=32, num_hidden_layers=2, state_size=8, time_step_rank=5)
    mamba(out / "mamba-biases", 2, hidden_size=24, num_hidden_layers=2, state_size=4, conv_kernel=3, use_bias=True,
          use_conv_bias=False, intermediate_size=72, expand=3, layer_norm_epsilon=1e-4, tie_word_embeddings=False)
    hyena(out / "hyena", 3, False, False, d_model=32, d_inner=64, n_layer=2, filter_order=16, emb_dim=5,
          num_inner_mlps=2, max_seq_len=200, activation_freq=3)
    hyena(out / "hyena-buffers", 4, True, True, d_model=40, d_inner=48, n_layer=2, filter_order=12, emb_dim=3,
          num_inner_mlps=1, max_seq_len=170, activation_freq=1)


main()
