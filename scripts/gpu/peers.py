#!/usr/bin/env python3
"""Times what others do on this machine's GPU, on random weights of the published shapes, as JSON beside our numbers.

    peers.py [--wheel rwkv-*.whl] [--only rwkv7-0.1b,…] [--json FILE]

What uncheatable_eval runs today: the PyPI package `rwkv` ('cuda fp16', its CUDA kernels compiled here), one document at
a time in chunks of 1024 tokens, each from a fresh state, log_softmax in f32 and gather.  For orientation, transformers'
GPT-NeoX (bf16, SDPA) on 64 documents of 1024 tokens.  Needs torch, nvcc and ninja; what is not installed is left out
and named.  --wheel is the package as a file, for machines without a network (pip download rwkv --no-deps).
"""
import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile

# layers, width, inner width, vocabulary, LoRA ranks (w, a, v, g)
RWKV = {
    "rwkv7-0.1b": (12, 768, 3072, 65536, (64, 64, 32, 128)),
    "rwkv7-1.5b": (24, 2048, 8192, 65536, (96, 96, 64, 256)),
    "rwkv7-7.2b": (32, 4096, 16384, 65536, (128, 128, 96, 480)),
    "rwkv4-169m": (12, 768, 3072, 50277, None),
    "rwkv4-1.5b": (24, 2048, 8192, 50277, None),
    "rwkv4-7b": (32, 4096, 16384, 50277, None),
}
# layers, width, heads
PYTHIA = {"pythia-160m": (12, 768, 12), "pythia-1.4b": (24, 2048, 16), "pythia-6.9b": (32, 4096, 32)}
CHUNK = 1024


def random_state(name, device):
    """A state dict with official names, f16, in the range of trained models."""
    import torch

    layers, c, f, vocabulary, ranks = RWKV[name]
    generator = torch.Generator(device="cuda").manual_seed(1)
    state = {}

    def normal(key, shape, deviation, centre=0.0):
        values = torch.randn(shape, generator=generator, device="cuda", dtype=torch.float16)
        state[key] = (values * deviation + centre).to(device)

    def linear(key, outputs, inputs, gain=1.0):
        normal(key, (outputs, inputs), gain / inputs**0.5)

    def norm(key):
        normal(key + ".weight", (c,), 0.1, 1.0)
        normal(key + ".bias", (c,), 0.05)

    normal("emb.weight", (vocabulary, c), 1.0)
    for i in range(layers):
        b = f"blocks.{i}."
        for key in ["ln1", "ln2"] + ["ln0"] * (i == 0):
            norm(b + key)
        for key in ("receptance", "key", "value"):
            linear(f"{b}att.{key}.weight", c, c)
        linear(b + "att.output.weight", c, c, 0.5)
        linear(b + "ffn.key.weight", f, c)
        linear(b + "ffn.value.weight", c, f, 0.5)
        if ranks is None:
            for key in ("att.time_mix_k", "att.time_mix_v", "att.time_mix_r", "ffn.time_mix_k", "ffn.time_mix_r"):
                normal(b + key, (1, 1, c), 0.15, 0.5)
            normal(b + "att.time_decay", (c,), 2.0, -1.0)
            normal(b + "att.time_first", (c,), 0.5, 0.3)
            linear(b + "ffn.receptance.weight", c, c)
            continue
        for key in "rwkvag":
            normal(f"{b}att.x_{key}", (1, 1, c), 0.15, 0.5)
        normal(b + "ffn.x_k", (1, 1, c), 0.15, 0.5)
        for key, rank in zip("wavg", ranks):
            normal(f"{b}att.{key}1", (c, rank), 0.5 / c**0.5)
            normal(f"{b}att.{key}2", (rank, c), 0.5 / rank**0.5)
        for key, centre in (("w0", -2.5), ("a0", 0.0), ("v0", 0.5), ("k_k", 0.85), ("k_a", 1.0)):
            normal(f"{b}att.{key}", (1, 1, c), 0.1, centre)
        normal(b + "att.r_k", (c // 64, 64), 0.1)
        norm(b + "att.ln_x")
    norm("ln_out")
    linear("head.weight", vocabulary, c)
    return state


def best_seconds(work, repeats=3):
    """Best of some repeats after one that does not count."""
    import torch

    best = float("inf")
    for i in range(repeats + 1):
        torch.cuda.synchronize()
        start = time.monotonic()
        work()
        torch.cuda.synchronize()
        if i > 0:
            best = min(best, time.monotonic() - start)
    return best


def measure_rwkv(name):
    os.environ.update(RWKV_JIT_ON="1", RWKV_CUDA_ON="1")
    if name.startswith("rwkv7"):
        os.environ["RWKV_V7_ON"] = "1"
    import torch

    torch.set_grad_enabled(False)
    state = random_state(name, "cuda" if name.startswith("rwkv7") else "cpu")
    load = torch.load
    torch.load = lambda *_, **__: state  # the package only reads files
    from rwkv.model import RWKV as Model

    model = Model(model="random" if name.startswith("rwkv7") else "random.pth", strategy="cuda fp16")
    torch.load = load
    vocabulary = RWKV[name][3]
    tokens = [(i * 2654435761 + 12345) % vocabulary for i in range(CHUNK)]
    targets = torch.tensor(tokens[1:], device="cuda")[:, None]

    def score():
        logits, _ = model.forward(tokens, None, full_output=True)
        return torch.log_softmax(logits[:-1].float(), dim=-1).gather(1, targets).sum().item()

    seconds = best_seconds(score, 5)

    def decode():
        state = None
        for token in tokens[:32]:
            _, state = model.forward([token], state)

    step = best_seconds(decode) / 32
    return [
        {"engine": "rwkv (PyPI), as uncheatable_eval runs it", "model": name, "mode": "fp16", "work": "score",
         "documents": 1, "tokens": CHUNK, "tokens_per_second": CHUNK / seconds},
        {"engine": "rwkv (PyPI)", "model": name, "mode": "fp16", "work": "decode", "batch": 1,
         "tokens_per_second": 1 / step},
    ]


def measure_pythia(name):
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    torch.set_grad_enabled(False)
    layers, width, heads = PYTHIA[name]
    config = GPTNeoXConfig(vocab_size=50304, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
                           intermediate_size=4 * width, rotary_pct=0.25, max_position_embeddings=2048,
                           attn_implementation="sdpa")
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        model = GPTNeoXForCausalLM(config).eval()
    documents = 64 if width < 4096 else 16
    ids = torch.randint(0, 50304, (documents, CHUNK), device="cuda")

    def score():
        total = 0.0
        for part in ids.split(4):  # the logits of all would not fit
            logits = model(part, use_cache=False).logits[:, :-1].float()
            total += torch.log_softmax(logits, dim=-1).gather(2, part[:, 1:, None]).sum().item()
        return total

    seconds = best_seconds(score, 2)
    return [{"engine": "transformers bf16 SDPA", "model": name, "mode": "bf16", "work": "score", "documents": documents,
             "tokens": CHUNK, "tokens_per_second": documents * CHUNK / seconds}]


def unpack(wheel):
    """The package's folder: its CUDA sources must be files."""
    folder = os.path.join(tempfile.gettempdir(), "deciban-peers-" + os.path.basename(wheel))
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", help="the package `rwkv` as a file, or a folder with it")
    parser.add_argument("--only", default=",".join([*RWKV, *PYTHIA]))
    parser.add_argument("--json")
    parser.add_argument("--measure", help=argparse.SUPPRESS)  # one model, in a process of its own
    arguments = parser.parse_args()
    if arguments.measure:
        name = arguments.measure
        for result in measure_rwkv(name) if name in RWKV else measure_pythia(name):
            print("RESULT " + json.dumps(result), flush=True)
        return 0

    environment = dict(os.environ)
    if arguments.wheel:
        found = [arguments.wheel]
        if not os.path.isfile(arguments.wheel):
            found = glob.glob(os.path.join(arguments.wheel, "rwkv-*.whl"))
        if found:
            paths = [unpack(found[0]), environment.get("PYTHONPATH")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    results, left_out = [], []
    for name in arguments.only.split(","):
        if name not in RWKV and name not in PYTHIA:
            raise SystemExit(f"unknown model '{name}'; known: {', '.join([*RWKV, *PYTHIA])}")
        child = subprocess.run([sys.executable, __file__, "--measure", name], env=environment, text=True,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
        own = [json.loads(line[7:]) for line in child.stdout.splitlines() if line.startswith("RESULT ")]
        results += own
        for r in own:
            what = f"{r['documents']}x{r['tokens']}" if r["work"] == "score" else str(r["batch"])
            print(f"{r['model']:<12} {r['engine']:<42} {r['work']:<7} {what:<8} {r['tokens_per_second']:>10.0f} tok/s",
                  flush=True)
        if child.returncode != 0:
            left_out.append({"model": name, "reason": (child.stdout.strip().splitlines() or ["no output"])[-1]})
            print(f"{name:<12} left out: {left_out[-1]['reason']}", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"results": results, "left_out": left_out}, file, indent=1)
    return 0 if results else 1


if __name__ == "__main__":
    sys.exit(main())
