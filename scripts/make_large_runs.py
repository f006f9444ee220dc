#!/usr/bin/env python3
"""Writes runs as large as reports get, of made-up scores: make_large_runs.py DIR [RUNS] [DOCUMENTS]"""
import argparse
import json
import math
import random
from pathlib import Path

SOURCES = 15


def main():
    parser = argparse.ArgumentParser(description="Writes runs as large as reports get, of made-up scores.")
    parser.add_argument("directory", type=Path)
    parser.add_argument("runs", type=int, nargs="?", default=100)
    parser.add_argument("documents", type=int, nargs="?", default=7500)
    options = parser.parse_args()
    directory, runs, documents = options.directory, options.runs, options.documents
    rng = random.Random(1)
    texts = []
    for d in range(documents):
        texts.append((f"source{d % SOURCES}", f"doc{d}", 2000 + rng.randrange(9000), 0.4 + 0.5 * rng.random()))
    for r in range(runs):
        run = directory / f"run{r:03}"
        run.mkdir(parents=True, exist_ok=True)
        level = 1 + 0.01 * (r // 2)
        with open(run / "records.jsonl", "w") as file:
            for d, (corpus, name, size, rate) in enumerate(texts):
                bits = size * rate * level * (1 + 0.05 * rng.gauss(0, 1))
                file.write(json.dumps({
                    "key": f"{r:016x}{d:016x}", "model": f"model-{r:03}", "task": "compression", "windowing": "whole",
                    "corpus": corpus, "document": name, "status": "ok", "tokens": size // 4, "scored_tokens": size // 4,
                    "bytes": size, "characters": size, "unscored_bytes": 0, "lossy_bytes": 0,
                    "logprob": -bits * math.log(2), "seconds": size / 1e5,
                    "labels": {"mode": "bf16", "start": "0", "published": f"2026-{1 + d % 6:02}-03"},
                    "measures": {"bits_per_byte": {"sum": bits, "weight": size}}}, separators=(",", ":")) + "\n")
        models = [{"label": f"model-{r:03}", "digest": f"{r:064x}", "tokenizer_digest": "t", "mode": "bf16",
                   "parameters": 10 ** 8 * (1 + r), "vocabulary": 65536, "width": 1024, "peak_memory_bytes": 10 ** 9 + r * 10 ** 7}]
        corpora = [{"name": f"source{s}", "digest": f"{s:064x}", "documents": documents // SOURCES} for s in range(SOURCES)]
        (run / "run.json").write_text(json.dumps({"models": models, "corpora": corpora, "tasks": {}, "runs": []}))


main()
