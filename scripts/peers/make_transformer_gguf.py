#!/usr/bin/env python3
"""Writes a GGUF of the Pythia-160M shape with random bf16 weights and without a vocabulary, for races.

    python3 scripts/peers/make_transformer_gguf.py OUTPUT.gguf [LAYERS WIDTH HEADS INNER VOCABULARY]
"""
import struct
import sys

import numpy as np

F32, BF16 = 0, 30


def text(value):
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, value):
    kind = {str: 8, int: 4, float: 6, bool: 7}[type(value)]
    packed = text(value) if kind == 8 else struct.pack({4: "<I", 6: "<f", 7: "<B"}[kind], value)
    return text(key) + struct.pack("<I", kind) + packed


def bf16(values):
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return (((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)).tobytes()


def main():
    if len(sys.argv) not in (2, 7):
        raise SystemExit(__doc__)
    layers, width, heads, inner, vocabulary = map(int, sys.argv[2:]) if len(sys.argv) == 7 else (12, 768, 12, 3072, 50304)
    pairs = [("general.architecture", "gptneox"), ("gptneox.context_length", 2048),
             ("gptneox.embedding_length", width), ("gptneox.feed_forward_length", inner),
             ("gptneox.block_count", layers), ("gptneox.rope.dimension_count", width // heads // 4),
             ("gptneox.attention.head_count", heads), ("gptneox.use_parallel_residual", True),
             ("gptneox.attention.layer_norm_epsilon", 1e-5), ("gptneox.vocab_size", vocabulary),
             ("tokenizer.ggml.model", "none")]
    tensors = [("token_embd.weight", (vocabulary, width)), ("output.weight", (vocabulary, width)),
               ("output_norm.weight", (width,)), ("output_norm.bias", (width,))]
    for i in range(layers):
        b = f"blk.{i}."
        for norm in ("attn_norm", "ffn_norm"):
            tensors += [(b + norm + ".weight", (width,)), (b + norm + ".bias", (width,))]
        for name, outputs, inputs in (("attn_qkv", 3 * width, width), ("attn_output", width, width),
                                      ("ffn_up", inner, width), ("ffn_down", width, inner)):
            tensors += [(b + name + ".weight", (outputs, inputs)), (b + name + ".bias", (outputs,))]
    random = np.random.default_rng(1)
    header = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(pairs)) + b"".join(pair(*p) for p in pairs)
    blobs, at = [], 0
    for name, shape in tensors:
        noise = random.standard_normal(shape).astype(np.float32)
        if len(shape) == 2:
            blob, kind = bf16(noise * (0.05 if "token" in name else shape[1] ** -0.5)), BF16
        else:
            centre = 1 if "norm.weight" in name else 0
            blob, kind = (centre + 0.05 * noise).astype(np.float32).tobytes(), F32
        header += text(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape[::-1])
        header += struct.pack("<IQ", kind, at)
        blobs.append(blob + b"\0" * (-len(blob) % 32))
        at += len(blobs[-1])
    with open(sys.argv[1], "wb") as out:
        out.write(header + b"\0" * (-len(header) % 32))
        out.writelines(blobs)


if __name__ == "__main__":
    main()
