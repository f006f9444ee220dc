#!/usr/bin/env python3
"""Writes a GGUF file with random RWKV-7 weights and the World vocabulary, as llama.cpp's converter would.

    make_gguf.py rwkv7-0.1b OUT.gguf --vocabulary rwkv_vocab_v20230424.txt --type f32|bf16|q8_0 [--seed 1]

The same seed gives the same weights in every type but q8_0, which rounds them.  What llama.cpp keeps in f32 or does
not quantise (vectors, w1, w2, the LoRA matrices) is kept so here.  Needs numpy only.
"""
import argparse
import struct

import numpy as np

import random_weights
import world_vocabulary

F32, Q8_0, BF16 = 0, 8, 30
FILE_TYPES = {"f32": 0, "q8_0": 7, "bf16": 32}
U32, FLOAT, STRING, ARRAY, INT32 = 4, 6, 8, 9, 5
ALIGNMENT = 32
TOP = {
    "emb.weight": "token_embd.weight",
    "blocks.0.ln0.weight": "token_embd_norm.weight",
    "blocks.0.ln0.bias": "token_embd_norm.bias",
    "ln_out.weight": "output_norm.weight",
    "ln_out.bias": "output_norm.bias",
    "head.weight": "output.weight",
}
LEAVES = {
    "ln1.weight": "attn_norm.weight",
    "ln1.bias": "attn_norm.bias",
    "ln2.weight": "attn_norm_2.weight",
    "ln2.bias": "attn_norm_2.bias",
    "att.ln_x.weight": "time_mix_ln.weight",
    "att.ln_x.bias": "time_mix_ln.bias",
    "ffn.x_k": "channel_mix_lerp_k.weight",
    "ffn.key.weight": "channel_mix_key.weight",
    "ffn.value.weight": "channel_mix_value.weight",
}
for _part in ("receptance", "key", "value", "output"):
    LEAVES[f"att.{_part}.weight"] = f"time_mix_{_part}.weight"
LORA = {f"att.{kind}{number}" for kind in "wavg" for number in "12"}
FULL = {"att.w1", "att.w2"}  # llama.cpp's converter leaves these in f32


def gguf_tensors(shape, seed):
    """Yields (GGUF name, f32 array in GGUF's order, kind): kind is vector, full, lora or matrix."""
    mixes = []
    for name, values in random_weights.tensors(shape, seed):
        if name in TOP:
            yield TOP[name], values, "matrix" if values.ndim == 2 else "vector"
            continue
        _, block, leaf = name.split(".", 2)
        prefix = f"blk.{block}."
        if leaf.startswith("att.x_"):
            mixes.append(values.reshape(-1))
            if len(mixes) == 6:  # r, w, k, v, a, g
                yield prefix + "time_mix_lerp_fused.weight", np.stack(mixes).reshape(6, 1, 1, -1), "vector"
                mixes = []
        elif leaf in LEAVES:
            flat = values if values.ndim == 2 else values.reshape(-1)
            yield prefix + LEAVES[leaf], flat, "matrix" if flat.ndim == 2 else "vector"
        else:
            kind = "full" if leaf in FULL else "lora" if leaf in LORA else "vector"
            out = np.ascontiguousarray(values.T) if leaf in LORA else values.reshape(-1)
            target = "time_mix_" + leaf.split(".")[1] + ".weight"
            if block == "0" and leaf in ("att.v0", "att.v1", "att.v2"):
                continue  # block 0 mixes no values; llama.cpp wants a0…a2 in their place
            yield prefix + target, out, kind
            if block == "0" and leaf in ("att.a0", "att.a1", "att.a2"):
                yield prefix + target.replace("time_mix_a", "time_mix_v"), out, kind


def quantised(values):
    """Blocks of 32: an f16 scale (largest magnitude / 127) and 32 int8, as ggml's reference rounds them."""
    blocks = values.reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1) / np.float32(127)
    inverse = np.where(scale > 0, 1 / np.where(scale > 0, scale, 1), 0).astype(np.float32)
    scaled = blocks * inverse[:, None]
    out = np.empty(len(blocks), dtype=np.dtype([("d", "<f2"), ("q", "i1", 32)]))
    out["d"] = scale
    out["q"] = np.copysign(np.floor(np.abs(scaled) + np.float32(0.5)), scaled)  # halves away from zero
    return out


def encoded(values, kind, file_type):
    """(ggml type, bytes) of a tensor."""
    if file_type == "f32" or kind in ("vector", "full"):
        return F32, np.ascontiguousarray(values, dtype="<f4").tobytes()
    if file_type == "bf16" or kind == "lora":
        return BF16, random_weights.to_bf16(values).tobytes()
    return Q8_0, quantised(values).tobytes()


def escaped(token):
    """The body of Python's repr of bytes, which llama.cpp undoes."""
    return repr(token)[2:-1]


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def pair(key, kind, value):
    head = string(key) + struct.pack("<I", kind)
    if kind == STRING:
        return head + string(value)
    return head + struct.pack({U32: "<I", FLOAT: "<f"}[kind], value)


def metadata(shape, file_type, table):
    s = random_weights.SHAPES[shape]
    w, a, v, g = s["ranks"]
    pairs = [
        pair("general.architecture", STRING, "rwkv7"),
        pair("general.name", STRING, f"{shape} (random)"),
        pair("general.file_type", U32, FILE_TYPES[file_type]),
        pair("general.alignment", U32, ALIGNMENT),
        pair("rwkv7.context_length", U32, 1048576),
        pair("rwkv7.embedding_length", U32, s["width"]),
        pair("rwkv7.block_count", U32, s["layers"]),
        pair("rwkv7.feed_forward_length", U32, s["ffn"]),
        pair("rwkv7.attention.layer_norm_epsilon", FLOAT, 1e-5),
        pair("rwkv7.attention.head_count", U32, 0),
        pair("rwkv7.wkv.head_size", U32, random_weights.HEAD_SIZE),
        pair("rwkv7.attention.decay_lora_rank", U32, w),
        pair("rwkv7.attention.iclr_lora_rank", U32, a),
        pair("rwkv7.attention.value_residual_mix_lora_rank", U32, v),
        pair("rwkv7.attention.gate_lora_rank", U32, g),
        pair("tokenizer.ggml.model", STRING, "rwkv"),
    ]
    tokens = ["<s>"] + [escaped(table[i]) for i in range(1, max(table) + 1)]
    tokens += [f"[PAD{i}]" for i in range(len(tokens), s["vocabulary"])]
    types = [3] + [1] * max(table) + [5] * (s["vocabulary"] - 1 - max(table))  # control, normal, unused
    pairs.append(string("tokenizer.ggml.tokens") + struct.pack("<IIQ", ARRAY, STRING, len(tokens))
                 + b"".join(map(string, tokens)))
    pairs.append(string("tokenizer.ggml.token_type") + struct.pack("<IIQ", ARRAY, INT32, len(types))
                 + np.array(types, dtype="<i4").tobytes())
    for what in ("bos", "eos", "unknown"):
        pairs.append(pair(f"tokenizer.ggml.{what}_token_id", U32, 0))
    return len(pairs), b"".join(pairs)


def padding(size):
    return -size % ALIGNMENT


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=[name for name, s in random_weights.SHAPES.items() if s["version"] == 7])
    parser.add_argument("out")
    parser.add_argument("--vocabulary", required=True)
    parser.add_argument("--type", choices=list(FILE_TYPES), required=True)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()

    infos, chunks, offset = [], [], 0
    for name, values, kind in gguf_tensors(arguments.shape, arguments.seed):
        ggml_type, data = encoded(values, kind, arguments.type)
        dims = values.shape[::-1]
        infos.append(string(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, ggml_type, offset))
        chunks.append(data)
        offset += len(data) + padding(len(data))
    count, pairs = metadata(arguments.shape, arguments.type, world_vocabulary.read(arguments.vocabulary))
    with open(arguments.out, "wb") as out:
        out.write(b"GGUF" + struct.pack("<IQQ", 3, len(infos), count) + pairs + b"".join(infos))
        out.write(bytes(padding(out.tell())))
        for data in chunks:
            out.write(data)
            out.write(bytes(padding(len(data))))


if __name__ == "__main__":
    main()
