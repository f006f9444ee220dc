#!/usr/bin/env python3
"""What narrower weights cost: bits per byte more than f32 on the same documents, for models and modes.

    scripts/quality_ladder.py --program build/release/bin/deciban -o ladder \\
        -m rwkv6.pth -m rwkv7.pth -c wikipedia.json -c code.json [--mode int8 --mode int4 …] [--limit N]

Each mode is a run of its own in the output folder, and a run that was broken off goes on.  Prints a Markdown
table: for each model the difference of the two sums of bits over all bytes, and its standard error from the
documents (paired: each document's difference).
"""

import argparse
import json
import math
import pathlib
import subprocess
import sys

MODES = ["bf16", "bf16a", "f16", "int8", "int8a", "int4", "int4g64"]


def run(arguments, mode):
    folder = pathlib.Path(arguments.output) / mode
    words = [arguments.program, "eval", "-o", str(folder), "--mode", mode, "-q", "--no-compressors"]
    words += ["--threads", str(arguments.threads)]
    for model in arguments.model:
        words += ["-m", model]
    for corpus in arguments.corpus:
        words += ["-c", corpus]
    if arguments.limit:
        words += ["--limit", str(arguments.limit)]
    if arguments.tokenizer:
        words += ["--tokenizer", arguments.tokenizer]
    done = subprocess.run(words, stdout=subprocess.DEVNULL)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: exit code {done.returncode}")
    bits = {}
    with open(folder / "records.jsonl", encoding="utf-8") as file:
        for line in file:
            record = json.loads(line)
            if record["status"] != "ok":
                sys.exit(f"{folder}: document {record['document']} failed")
            measure = record["measures"]["bits_per_byte"]
            bits.setdefault(record["model"], {})[(record["corpus"], record["document"])] = (
                measure["sum"],
                measure["weight"],
            )
    return bits


def difference(base, other):
    """Σ (other - base) / Σ bytes over the documents of both, and the standard error of this ratio."""
    common = sorted(base.keys() & other.keys())
    deltas = [other[d][0] - base[d][0] for d in common]
    weights = [base[d][1] for d in common]
    total = sum(weights)
    ratio = sum(deltas) / total
    n = len(common)
    spread = sum((delta - ratio * weight) ** 2 for delta, weight in zip(deltas, weights))
    return ratio, math.sqrt(spread * n / (n - 1)) / total, n, total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="deciban")
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("-m", "--model", action="append", required=True)
    parser.add_argument("-c", "--corpus", action="append", required=True)
    parser.add_argument("--mode", action="append", help=f"default: {', '.join(MODES)}")
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--tokenizer")
    arguments = parser.parse_args()
    base = run(arguments, "f32")
    models = list(base)
    print("| | " + " | ".join(models) + " |")
    print("|---" * (len(models) + 1) + "|")
    sums = [sum(bits for bits, _ in base[m].values()) / sum(size for _, size in base[m].values()) for m in models]
    print("| f32, bits/byte | " + " | ".join(f"{value:.4f}" for value in sums) + " |", flush=True)
    for mode in arguments.mode or MODES:
        other = run(arguments, mode)
        cells = []
        for model in models:
            ratio, error, documents, total = difference(base[model], other[model])
            cells.append(f"{ratio:+.1e} ± {error:.0e}")
        print(f"| {mode} | " + " | ".join(cells) + " |", flush=True)
    print(f"\n{documents} documents, {total / 1e6:.2f} MB", flush=True)


if __name__ == "__main__":
    main()
