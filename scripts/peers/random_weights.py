"""Random RWKV weights for the peers: one recipe, so that every engine computes the same numbers.

Scales are those of engine/random_model.cc (normal values, deviations rounded to powers of two), every value exact in
bf16, so that an f32, a bf16 and a .pth file of one seed hold the same model.  Needs numpy only.
"""
import numpy as np

SHAPES = {
    "rwkv4-169m": dict(version=4, layers=12, width=768, ffn=3072, vocabulary=50277),
    "rwkv7-0.1b": dict(version=7, layers=12, width=768, ffn=3072, vocabulary=65536, ranks=(64, 64, 32, 128)),
    "rwkv7-0.4b": dict(version=7, layers=24, width=1024, ffn=4096, vocabulary=65536, ranks=(64, 64, 32, 128)),
    "rwkv7-1.5b": dict(version=7, layers=24, width=2048, ffn=8192, vocabulary=65536, ranks=(96, 96, 64, 256)),
}
HEAD_SIZE = 64


def to_bf16(values):
    """The upper 16 bits of f32 values that are exact in bf16."""
    return (np.ascontiguousarray(values, dtype=np.float32).view(np.uint32) >> 16).astype(np.uint16)


def _exact(values):
    values = np.ascontiguousarray(values, dtype=np.float32)
    return (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)


class Maker:
    """Yields (official name, f32 array) in the order of official files."""

    def __init__(self, shape, seed):
        self.shape = shape
        self.random = np.random.default_rng(seed)

    def normal(self, name, shape, deviation, centre=0.0):
        values = self.random.standard_normal(shape, dtype=np.float32)
        return name, _exact(values * np.float32(deviation) + np.float32(centre))

    def matrix(self, name, shape, deviation):
        return self.normal(name, shape, 2.0 ** round(np.log2(deviation)))

    def linear(self, name, outputs, inputs, gain=1.0):
        return self.matrix(name, (outputs, inputs), gain / np.sqrt(inputs))

    def lora(self, name, inputs, outputs, gain=0.5):
        return self.matrix(name, (inputs, outputs), gain / np.sqrt(inputs))

    def norm(self, name, size):
        yield self.normal(name + ".weight", (size,), 0.1, 1.0)
        yield self.normal(name + ".bias", (size,), 0.05)

    def ramp(self, name, size, period, first, last):
        values = np.tile(np.linspace(first, last, period, dtype=np.float32), size // period)
        return name, _exact(values)

    def attention(self, a):
        c = self.shape["width"]
        for part in ("receptance", "key", "value"):
            yield self.linear(f"{a}{part}.weight", c, c)
        yield self.linear(f"{a}output.weight", c, c, 0.5)

    def block4(self, b):
        c, f = self.shape["width"], self.shape["ffn"]
        for part in ("k", "v", "r"):
            yield self.normal(f"{b}att.time_mix_{part}", (1, 1, c), 0.15, 0.5)
        yield self.ramp(b + "att.time_decay", c, c, -5, 3)
        yield self.normal(b + "att.time_first", (c,), 0.5, 0.3)
        yield from self.attention(b + "att.")
        for part in ("k", "r"):
            yield self.normal(f"{b}ffn.time_mix_{part}", (1, 1, c), 0.15, 0.5)
        yield self.linear(b + "ffn.key.weight", f, c)
        yield self.linear(b + "ffn.receptance.weight", c, c)
        yield self.linear(b + "ffn.value.weight", c, f, 0.5)

    def block7(self, b):
        c, f = self.shape["width"], self.shape["ffn"]
        w, a, v, g = self.shape["ranks"]
        for part in "rwkvag":
            yield self.normal(f"{b}att.x_{part}", (1, 1, c), 0.15, 0.5)
        name, values = self.ramp(b + "att.w0", c, HEAD_SIZE, -6, 1)
        yield name, values.reshape(1, 1, c)
        yield self.lora(b + "att.w1", c, w)
        yield self.lora(b + "att.w2", w, c)
        yield self.normal(b + "att.a0", (1, 1, c), 0.5)
        yield self.lora(b + "att.a1", c, a)
        yield self.lora(b + "att.a2", a, c)
        yield self.normal(b + "att.v0", (1, 1, c), 0.3, 0.5)
        yield self.lora(b + "att.v1", c, v)
        yield self.lora(b + "att.v2", v, c)
        yield self.lora(b + "att.g1", c, g)
        yield self.lora(b + "att.g2", g, c, 1.0)
        yield self.normal(b + "att.k_k", (1, 1, c), 0.1, 0.85)
        yield self.normal(b + "att.k_a", (1, 1, c), 0.1, 1.0)
        yield self.normal(b + "att.r_k", (c // HEAD_SIZE, HEAD_SIZE), 0.1)
        yield from self.attention(b + "att.")
        yield from self.norm(b + "att.ln_x", c)
        yield self.normal(b + "ffn.x_k", (1, 1, c), 0.15, 0.5)
        yield self.linear(b + "ffn.key.weight", f, c)
        yield self.linear(b + "ffn.value.weight", c, f, 0.5)

    def tensors(self):
        c, v = self.shape["width"], self.shape["vocabulary"]
        yield self.matrix("emb.weight", (v, c), 1.0)
        for i in range(self.shape["layers"]):
            b = f"blocks.{i}."
            yield from self.norm(b + "ln1", c)
            yield from self.norm(b + "ln2", c)
            if i == 0:
                yield from self.norm(b + "ln0", c)
            yield from self.block4(b) if self.shape["version"] == 4 else self.block7(b)
        yield from self.norm("ln_out", c)
        yield self.linear("head.weight", v, c)


def tensors(name, seed):
    """Yields (official name, f32 array exact in bf16) of the shape `name`."""
    if name not in SHAPES:
        raise SystemExit(f"unknown shape '{name}'; known: {', '.join(SHAPES)}")
    return Maker(SHAPES[name], seed).tensors()
