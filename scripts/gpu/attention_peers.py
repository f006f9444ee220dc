#!/usr/bin/env python3
"""Times PyTorch's FlashAttention backend and our attention on this machine's GPU, side by side.

    attention_peers.py [--bench PROGRAM] [--lengths 1024,…] [--head-sizes 64,128] [--json FILE]

Causal attention in bf16 over 32768 tokens in all (so many sequences as that makes), heads of together 2048 channels.
PyTorch's is F.scaled_dot_product_attention alone; ours is the whole operation, which also puts keys and values into
the cache and queries into the form that products read.  FLOP are counted as usual for causal attention: 2 T^2 a channel
of a sequence.  The two take turns, and the best of each counts.  Needs torch, and deciban_bench_cuda (--bench).
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

TOKENS, WIDTH = 32768, 2048


def peer_seconds(length, head_size, calls=20, repeats=3):
    """Seconds of one call of the FlashAttention backend, at best."""
    import torch
    import torch.nn.functional as F
    from torch.nn.attention import SDPBackend, sdpa_kernel

    sequences = max(1, TOKENS // length)
    shape = (sequences, WIDTH // head_size, length, head_size)
    q, k, v = (torch.randn(shape, device="cuda", dtype=torch.bfloat16) for _ in range(3))
    best = float("inf")
    with torch.no_grad(), sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        for i in range(repeats + 1):
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            for _ in range(calls):
                F.scaled_dot_product_attention(q, k, v, is_causal=True)
            end.record()
            end.synchronize()
            if i > 0:
                best = min(best, start.elapsed_time(end) * 1e-3 / calls)
    return best


def own_results(bench, lengths, head_sizes):
    with tempfile.TemporaryDirectory() as folder:
        file = os.path.join(folder, "attention.json")
        subprocess.run([bench, "--attention", lengths, "--head-size", head_sizes, "--json", file], check=True,
                       stdout=subprocess.DEVNULL)
        with open(file) as opened:
            return json.load(opened)["results"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", default="build/gpu-kit/bin/deciban_bench_cuda")
    parser.add_argument("--lengths", default="1024,2048,4096,8192,16384,32768")
    parser.add_argument("--head-sizes", default="64,128")
    parser.add_argument("--json")
    arguments = parser.parse_args()
    own = {}
    steps = {}
    peers = {}
    for _ in range(2):
        for r in own_results(arguments.bench, arguments.lengths, arguments.head_sizes):
            kept = own if r["work"] == "attention" else steps
            key = (r["head_size"], r["tokens"])
            kept[key] = min(kept.get(key, float("inf")), r["seconds"])
        for head_size in map(int, arguments.head_sizes.split(",")):
            for length in map(int, arguments.lengths.split(",")):
                key = (head_size, length)
                peers[key] = min(peers.get(key, float("inf")), peer_seconds(length, head_size))
    results = []
    print(f"{'heads of':>8} {'tokens':>7} {'ours, ms':>9} {'TFLOP/s':>8} {'PyTorch':>8} {'TFLOP/s':>8} {'ratio':>6}")
    for (head_size, length), seconds in sorted(own.items()):
        flops = 2 * length * length * WIDTH * max(1, TOKENS // length)
        peer = peers[head_size, length]
        results.append({"head_size": head_size, "tokens": length, "seconds": seconds, "flash_seconds": peer,
                        "tflops": flops / seconds * 1e-12, "flash_tflops": flops / peer * 1e-12,
                        "ratio": seconds / peer})
        print(f"{head_size:>8} {length:>7} {seconds * 1e3:>9.3f} {flops / seconds * 1e-12:>8.0f} {peer * 1e3:>8.3f} "
              f"{flops / peer * 1e-12:>8.0f} {seconds / peer:>6.2f}", flush=True)
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump({"results": results,
                       "steps": [{"head_size": h, "tokens": t, "seconds": s} for (h, t), s in sorted(steps.items())]},
                      file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
