#!/usr/bin/env python3
"""Whose rounding a difference between deciban and llama.cpp is: a Llama's GGUF computed in float64.

Needs NumPy, torch and llama_cpp (for its tokenizer).  REPORT is what lm_eval_tasks.py --backend llama wrote, SAMPLES the
samples file of TASK that `deciban eval --export` wrote beside results.json with the same limit:

    gguf_float64.py MODEL.gguf REPORT.json SAMPLES.jsonl TASK [COUNT]

Prints, of the COUNT requests that differ most, the log-likelihood in float64 and how far both programs are from it."""
import json
import math
import pathlib
import sys

import numpy as np
import torch

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "reference"))
from smollm2_llamacpp import Reader, tensors_of, values

HEADS, KV_HEADS, HEAD, BASE, EPSILON = 9, 3, 64, 100000.0, 1e-5  # of SmolLM2-135M


class Model:
    def __init__(self, path):
        data = open(path, "rb").read()
        self.tensors = {}
        for name, shape, kind, at in tensors_of(Reader(data)):
            flat = values(data, kind, int(np.prod(shape)), at)
            self.tensors[name.decode()] = torch.from_numpy(flat.copy()).reshape(shape[::-1])
        self.layers = 1 + max(int(name.split(".")[1]) for name in self.tensors if name.startswith("blk."))

    def __getitem__(self, name):
        return self.tensors[name + ".weight"].double()

    def norm(self, x, name):
        return x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPSILON) * self[name]

    @staticmethod
    def turned(x):
        """Rotary positions on pairs of neighbours: a GGUF's order of the rows of q and k."""
        angles = torch.arange(len(x)).double()[:, None] * BASE ** (-torch.arange(0, HEAD, 2).double() / HEAD)
        c, s, a, b = angles.cos()[:, None], angles.sin()[:, None], x[..., 0::2], x[..., 1::2]
        return torch.stack((a * c - b * s, a * s + b * c), -1).flatten(-2)

    @torch.no_grad()
    def logprobs(self, tokens):
        x, n = self.tensors["token_embd.weight"][tokens].double(), len(tokens)
        later = torch.full((n, n), -math.inf).double().triu(1)
        for i in range(self.layers):
            b = f"blk.{i}."
            h = self.norm(x, b + "attn_norm")
            q, k, v = ((h @ self[b + "attn_" + part].T).view(n, -1, HEAD) for part in "qkv")
            k, v = (t.repeat_interleave(HEADS // KV_HEADS, 1) for t in (self.turned(k), v))
            scores = torch.einsum("thn,shn->hts", self.turned(q), k) / math.sqrt(HEAD) + later
            mixed = torch.einsum("hts,shn->thn", scores.softmax(-1), v).reshape(n, -1)
            x = x + mixed @ self[b + "attn_output"].T
            h = self.norm(x, b + "ffn_norm")
            x = x + (torch.nn.functional.silu(h @ self[b + "ffn_gate"].T) * (h @ self[b + "ffn_up"].T)) @ self[b + "ffn_down"].T
        head = "output" if "output.weight" in self.tensors else "token_embd"
        return torch.log_softmax(self.norm(x, "output_norm") @ self[head].T, -1)


def main():
    if len(sys.argv) not in (5, 6):
        raise SystemExit(__doc__)
    path, report, samples, task = sys.argv[1:5]
    import llama_cpp

    model = Model(path)
    tokenizer = llama_cpp.Llama(model_path=path, vocab_only=True, verbose=False)
    encode = lambda text: tokenizer.tokenize(text.encode(), add_bos=False, special=False)
    theirs = next(t for t in json.loads(open(report).read())["tasks"] if t["task"] == task)["logprobs"]
    rows = []
    for sample in map(json.loads, open(samples)):
        for i, (asked, answer) in enumerate(zip(sample["arguments"].values(), sample["filtered_resps"])):
            if sample["doc_id"] < len(theirs):
                rows.append((float(answer[0]), theirs[sample["doc_id"]][i], sample["doc_id"], i, *asked.values()))
    rows.sort(key=lambda row: -abs(row[0] - row[1]))
    for ours, other, document, i, context, continuation in rows[: int(sys.argv[5]) if len(sys.argv) > 5 else 3]:
        bare = context.rstrip()
        tokens, known = encode(context + continuation), len(encode(bare))
        logprobs = model.logprobs(torch.tensor(tokens[:-1]))
        exact = sum(float(logprobs[at - 1, tokens[at]]) for at in range(known, len(tokens)))
        print(f"{task} {document}, request {i}, {len(tokens) - known} tokens: {exact:.6f} in float64; "
              f"deciban {ours - exact:+.1e}, llama.cpp {other - exact:+.1e}", flush=True)


if __name__ == "__main__":
    main()
