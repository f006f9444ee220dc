#!/usr/bin/env python3
"""An independent oracle for the RWKV engine: scores texts in float64 with numpy and compares.

  oracle_rwkv.py --golden tests/golden/rwkv/*           the oracle itself against the golden log-probabilities
  oracle_rwkv.py MODEL.pth TEXT…                        nats of every document, as JSON Lines
  oracle_rwkv.py MODEL.pth TEXT… --scores SCORES.jsonl  and the largest difference to what the engine gave

TEXT is a text file, a folder of them, a JSON list of strings, or JSON Lines with `text` or `content`.  SCORES.jsonl is
what `deciban info` prints of a file written by `eval --token-scores`: rows with `token`, `logprob` (null where not
scored) and `best`, in the order of the documents.  Developers' tool: needs Python with numpy, and no torch.
"""

import argparse
import ast
import json
import math
import pathlib
import sys

import numpy as np

from pth import read_pth
from rwkv_float64 import Rwkv


def byte_encode(text):
    return list(text)


def world_encoder(vocabulary):
    tokens = {}
    for line in pathlib.Path(vocabulary).read_text(encoding="utf-8").split("\n"):
        if not line.strip():
            continue
        first, last = line.index(" "), line.rindex(" ")
        literal = ast.literal_eval(line[first + 1:last])
        data = literal.encode() if isinstance(literal, str) else literal
        assert len(data) == int(line[last + 1:]), line
        tokens[data] = int(line[:first])
    longest = max(map(len, tokens))

    def encode(text):
        ids, at = [], 0
        while at < len(text):
            size = next(n for n in range(longest, 0, -1) if text[at:at + n] in tokens)
            ids.append(tokens[text[at:at + size]])
            at += size
        return ids

    return encode


def documents(path):
    """Yields (id, bytes) in the order in which deciban reads a corpus."""
    path = pathlib.Path(path)
    if path.is_dir():
        names = (p for p in path.rglob("*") if p.is_file())
        for name in sorted(p.relative_to(path).as_posix() for p in names):
            if not any(part.startswith(".") for part in name.split("/")):
                yield name, (path / name).read_bytes()
    elif path.suffix == ".json":
        for i, text in enumerate(json.loads(path.read_text(encoding="utf-8"))):
            yield str(i), text.encode()
    elif path.suffix == ".jsonl":
        for i, line in enumerate(path.read_text(encoding="utf-8").splitlines()):
            row = json.loads(line)
            yield str(row.get("id", i)), row.get("text", row.get("content")).encode()
    else:
        yield path.name, path.read_bytes()


def windows(tokens, policy, start):
    """(what is read, first scored place) for each window; see docs/methods.md."""
    kind, _, size = policy.partition(":")
    prefix = [] if start is None else [start]
    if kind == "whole":
        return [(prefix + tokens, 1)]
    chunks = [tokens[i:i + int(size)] for i in range(0, len(tokens), int(size))]
    if kind == "uncheatable":
        return [(chunk, 1) for chunk in chunks]
    if kind == "uncheatable2":
        return [(prefix + chunk, 1) for chunk in chunks]
    raise SystemExit(f"unknown window {policy!r} (known: whole, uncheatable:N, uncheatable2:N)")


def score(model, tokens, policy, start):
    """Per text token: log p (NaN where no window scores it) and the most probable token (-1 there)."""
    logprob, best = [], []
    for read, first in windows(tokens, policy, start):
        of_text = len(read) - (1 if start is not None and not policy.startswith("uncheatable:") else 0)
        got = model.logprobs(read)
        unscored = of_text - len(got[0])
        logprob += [math.nan] * unscored + list(got[0])
        best += [-1] * unscored + [int(b) for b in got[1]]
        assert first == 1 and len(logprob) == len(best)
    return np.array(logprob), np.array(best)


def check_golden(folder):
    """Largest |Δ| of log p, of the final logits, and the number of different argmaxes; False if they are too large."""
    folder = pathlib.Path(folder)
    expected = json.loads((folder / "expected.json").read_text())
    tokens = expected["tokens"]
    logprob, best, _, logits = Rwkv(read_pth(folder / expected["model"])).logprobs(tokens)
    delta = np.abs(logprob - np.array(expected["logprob_next"][:len(logprob)])).max()
    logit_delta = np.abs(logits - np.load(folder / "final_logits.npy")).max()
    wrong = sum(ours != theirs for ours, theirs in zip(best, expected.get("argmax_next", [])))
    print(f"{folder.name:22} log p {delta:.2e}  final logits {logit_delta:.2e}  {wrong} other argmaxes")
    return delta < 1e-9 and logit_delta < 1e-9 and wrong == 0


def compare(rows, tokens, logprob, best):
    """Against the engine's columns: fails on other tokens, else (number scored, max and mean |Δ|, other argmaxes)."""
    if [row["token"] for row in rows] != tokens:
        raise SystemExit("the token scores are of another text or tokenizer: the token ids differ")
    got = np.array([math.nan if row["logprob"] is None else row["logprob"] for row in rows], dtype=np.float64)
    if not (np.isnan(got) == np.isnan(logprob)).all():
        raise SystemExit("the token scores are of another policy: other tokens are scored")
    scored = ~np.isnan(got)
    delta = np.abs(got - logprob)[scored]
    others = int((np.array([row["best"] for row in rows])[scored] != best[scored]).sum())
    return int(scored.sum()), float(delta.max()), float(delta.mean()), others


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", help="a .pth checkpoint with official names")
    parser.add_argument("texts", nargs="*")
    parser.add_argument("--golden", nargs="+", metavar="FOLDER")
    parser.add_argument("--tokenizer", default="bytes", help="bytes, or a World vocabulary file")
    parser.add_argument("--start", default="0", help="start token, or none")
    parser.add_argument("--window", default="whole", help="whole, uncheatable:N or uncheatable2:N")
    parser.add_argument("--limit", type=int, help="documents of each TEXT")
    parser.add_argument("--scores", metavar="SCORES.jsonl")
    args = parser.parse_args()

    if args.golden:
        results = [check_golden(folder) for folder in args.golden if (pathlib.Path(folder) / "expected.json").exists()]
        return 0 if results and all(results) else 1
    if not args.model or not args.texts:
        parser.error("a model and a text are needed (or --golden)")

    model = Rwkv(read_pth(args.model))
    encode = byte_encode if args.tokenizer == "bytes" else world_encoder(args.tokenizer)
    start = None if args.start == "none" else int(args.start)
    rows = []
    if args.scores:
        with open(args.scores, encoding="utf-8") as file:
            rows = [row for row in map(json.loads, file) if "token" in row]

    at, worst, total = 0, 0.0, 0.0
    for path in args.texts:
        for name, text in list(documents(path))[:args.limit]:
            tokens = encode(text)
            logprob, best = score(model, tokens, args.window, start)
            nats = -float(np.nansum(logprob))
            total += nats
            line = {"document": name, "bytes": len(text), "tokens": len(tokens),
                    "scored_tokens": int((~np.isnan(logprob)).sum()), "nll": nats,
                    "bits_per_byte": nats / math.log(2) / len(text)}
            if args.scores:
                scored, largest, mean, others = compare(rows[at:at + len(tokens)], tokens, logprob, best)
                at += len(tokens)
                worst = max(worst, largest)
                line.update(max_difference=largest, mean_difference=mean, other_argmax=others)
            print(json.dumps(line))
    print(f"RWKV-{model.version}: {total:.6f} nats in all" +
          (f", max |Δ log p| {worst:.3e}" if args.scores else ""), file=sys.stderr)
    if args.scores and at != len(rows):
        print(f"{len(rows) - at} rows of {args.scores} belong to no document given", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
