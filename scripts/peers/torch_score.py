#!/usr/bin/env python3
"""Times PyTorch with the PyPI package `rwkv` with the commands of llama/llama_score.cc: score, decode, memory, texts.

    torch_score.py MODEL.pth TOKENS.txt --threads N [--strategy 'cpu fp32']

`score T` is one forward over T tokens with full_output, then log_softmax and gather, as uncheatable_eval does it;
`texts FILE N CHUNK` scores the first N documents of a file of token ids (one document a line) in chunks of CHUNK
tokens, each from a fresh state.
"""
import argparse
import json
import os
import resource
import sys
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("tokens")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--strategy", default="cpu fp32")
    parser.add_argument("--rwkv7", action="store_true", help="the model is RWKV-7")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ["RWKV_JIT_ON"] = "1"
    os.environ["RWKV_CUDA_ON"] = "0"
    if arguments.rwkv7:
        os.environ["RWKV_V7_ON"] = "1"

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the package prints its progress on stdout
    import torch

    torch.set_num_threads(arguments.threads)
    torch.set_grad_enabled(False)
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 1):
        load = torch.load  # older than the `mmap` that the package passes
        torch.load = lambda *args, mmap=None, **rest: load(*args, **rest)
    from rwkv.model import RWKV

    path = arguments.model.removesuffix(".pth")
    model = RWKV(model=path, strategy=arguments.strategy)
    with open(arguments.tokens) as file:
        tokens = [int(word) for word in file.read().split()]

    def score(ids):
        logits, _ = model.forward(ids[:-1], None, full_output=True)
        if logits.dim() == 1:
            logits = logits[None]
        rows = torch.log_softmax(logits.float(), dim=-1)
        return rows.gather(1, torch.tensor(ids[1:])[:, None]).double().sum().item()

    def say(**fields):
        print(json.dumps(fields), file=answers, flush=True)

    say(ready=True, torch=torch.__version__)
    for line in sys.stdin:
        command, *words = line.split()
        start, used = time.monotonic(), time.process_time()
        if command == "score":
            n = int(words[0])
            total = score(tokens[:n])
            say(seconds=time.monotonic() - start, processor=time.process_time() - used, tokens=n, logprob=total)
        elif command == "decode":
            n = int(words[0])
            state = None
            for i in range(n):
                _, state = model.forward([tokens[i % len(tokens)]], state)
            say(seconds=time.monotonic() - start, processor=time.process_time() - used, tokens=n)
        elif command == "texts":
            with open(words[0]) as file:
                documents = [[int(word) for word in row.split()] for row in file][: int(words[1])]
            chunk = int(words[2])
            total, count = 0.0, 0
            for ids in documents:
                for at in range(0, len(ids), chunk):
                    piece = ids[at : at + chunk]
                    count += len(piece)
                    if len(piece) > 1:
                        total += score(piece)
            say(seconds=time.monotonic() - start, processor=time.process_time() - used, tokens=count, logprob=total)
        elif command == "memory":
            say(peak_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        else:
            raise SystemExit(f"unknown command '{command}'")


if __name__ == "__main__":
    main()
