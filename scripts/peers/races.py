"""What races against what: (name, words, the peer's side, our side).

A side names its engine, its model (shape and file), setting, threads and the command that is timed.
"""
import glob
import os
import subprocess
import tempfile
import time

import build_peers

SHAPE = "rwkv7-0.1b"
OLD = "rwkv4-169m"


def llama(kind, threads, ask, **rest):
    return dict(engine="llama.cpp", model=(SHAPE, kind), setting=kind, threads=threads, ask=ask, **rest)


def torch(shape, threads, ask, setting="cpu fp32"):
    side = dict(engine="torch", model=(shape, "pth"), setting=setting, threads=threads, ask=ask)
    # Debian's OpenBLAS (0.3.21) takes CPUs younger than itself for a Zen without AVX-512: its kernels for SkylakeX are
    # 1.5 times as fast at products of matrices, and slower at those with one vector.
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        if "avx512f" in file.read() and not ask.startswith("decode"):
            side["blas"] = "SkylakeX"
    return side


def deciban(mode, threads, ask, model=(SHAPE, "bf16"), **rest):
    return dict(engine="deciban", model=model, setting=mode, threads=threads, ask=ask, **rest)


def _races():
    full = (SHAPE, "f32")
    for threads in (1, 2):
        for length in (512, 1024):
            ask, tail = f"score {length}", f"{length} x{threads}"
            words = f"scoring {length} tokens, log-probabilities included, {threads} thread(s): "
            yield f"score bf16a {tail}", words + "llama.cpp BF16", llama("bf16", threads, ask), deciban("bf16a", threads, ask)
            yield f"score int8a {tail}", words + "llama.cpp Q8_0", llama("q8_0", threads, ask), deciban("int8a", threads, ask)
            if length == 512:
                yield f"score f32 best {tail}", words + "llama.cpp F32 built for AVX2 (its faster build), ours native", \
                    llama("f32", threads, ask, isa="avx2"), deciban("f32", threads, ask, full)
                yield f"score f32 {tail}", words + "llama.cpp F32", llama("f32", threads, ask), deciban("f32", threads, ask, full)
                yield f"score avx2 {tail}", words + "llama.cpp F32 built for AVX2, ours with DECIBAN_ISA=avx2", \
                    llama("f32", threads, ask, isa="avx2"), deciban("f32", threads, ask, full, isa="avx2")
                yield f"score torch {tail}", words + "PyTorch f32, ours f32", \
                    torch(SHAPE, threads, ask), deciban("f32", threads, ask, (SHAPE, "pth"))
        ask, words = "decode 64", f"decoding one sequence, {threads} thread(s): "
        for mode, kind in (("bf16", "bf16"), ("f32", "f32"), ("int8", "q8_0")):
            yield f"decode {mode} x{threads}", words + f"llama.cpp {kind.upper()}", \
                llama(kind, threads, ask), deciban(mode, threads, ask, (SHAPE, "f32" if mode == "f32" else "bf16"))
        yield f"decode torch x{threads}", words + "PyTorch f32, ours f32", \
            torch(SHAPE, threads, ask), deciban("f32", threads, ask, (SHAPE, "pth"))
        ask = "decode 32 16"
        yield f"decode 16 bf16 x{threads}", f"decoding 16 sequences, {threads} thread(s): llama.cpp BF16", \
            llama("bf16", threads, ask, sequences=16), deciban("bf16", threads, ask)
        ask, words = "score 512", f"RWKV-4 169M, scoring 512 tokens, {threads} thread(s): PyTorch f32"
        for mode in ("bf16a", "f32"):
            yield f"rwkv4 score {mode} x{threads}", words, torch(OLD, threads, ask), deciban(mode, threads, ask, (OLD, "pth"))
        yield f"rwkv4 score rwkv.cpp x{threads}", \
            f"RWKV-4 169M, scoring 512 tokens, {threads} thread(s): rwkv.cpp FP16, a call a token", \
            dict(engine="rwkv.cpp", model=(OLD, "FP16"), setting="FP16", threads=threads, ask=ask), \
            deciban("bf16a", threads, ask, (OLD, "pth"))
        yield f"rwkv4 decode x{threads}", f"RWKV-4 169M, decoding one sequence, {threads} thread(s): PyTorch f32", \
            torch(OLD, threads, "decode 64"), deciban("bf16", threads, "decode 64", (OLD, "pth"))


RACES = list(_races())


def job(context, engine_class, documents):
    """The uncheatable job: PyTorch scores the first documents one after the other, as uncheatable_eval does (each from a
    fresh state after the separator, at most 4000 tokens a call); deciban evaluates the whole folder, start to end."""
    peers = context.peers
    count = os.cpu_count()
    theirs = engine_class(*context.command(torch(SHAPE, count, "texts")))
    reply = theirs.ask(f"texts {peers.documents()} {documents[0]} 4000")
    theirs.close()
    folder = os.path.join(build_peers.shared_folder(), build_peers.TEXTS)
    files = sorted(glob.glob(os.path.join(folder, "*.json")))
    program = os.path.join(os.path.dirname(context.libraries), "bin", "deciban")
    with open(peers.documents()) as file:
        lengths = [len(line.split()) for line in file]
    each = documents[1] // len(files)
    tokens = sum(lengths[: each * len(files)])  # the categories take turns in documents()
    out = {"what": "the uncheatable job", "peer": {"engine": "torch", "documents": documents[0],
           "tokens": reply["tokens"], "seconds": round(reply["seconds"], 2), "threads": count,
           "tokens_per_second": round(reply["tokens"] / reply["seconds"], 2), "logprob": reply["logprob"]}}
    for mode in ("bf16a", "f32"):
        with tempfile.TemporaryDirectory() as place:
            command = [*context.priority, program, "eval", "-m", "random:" + SHAPE, "-c", *files, "-o",
                       os.path.join(place, "run"), "--mode", mode, "--threads", str(count), "--limit", str(each),
                       "--tokenizer", context.vocabulary, "--no-compressors", "--quiet"]
            start = time.monotonic()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            seconds = time.monotonic() - start
        out["ours" if mode == "bf16a" else "ours_f32"] = {
            "engine": "deciban", "setting": mode, "documents": each * len(files), "tokens": tokens, "threads": count,
            "seconds": round(seconds, 2), "tokens_per_second": round(tokens / seconds, 2)}
    for key, name in (("ours", "ratio"), ("ours_f32", "ratio_f32")):
        out[name] = round(out[key]["tokens_per_second"] / out["peer"]["tokens_per_second"], 2)
    return out
