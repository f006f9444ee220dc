"""RWKV-4, 5.0, 5.1, 5.2, 6 and 7 in float64, written for reading: the plain formulas, one token after another.

Shapes: C width, A attention width, H heads of N channels, T tokens.  A stored X.weight is [out, in]; LoRA matrices of
versions 6 and 7 are [in, out].
"""

import numpy as np

TILE = 256  # rows of logits held at once


def sigmoid(x):
    return 0.5 * (1 + np.tanh(0.5 * x))


def silu(x):
    return x * sigmoid(x)


def relu2(x):
    return np.maximum(x, 0) ** 2


def layer_norm(x, weight, bias, eps=1e-5):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + eps) * weight + bias


def shift(h):
    """The same sub-block's input of the token before; zeros before the first."""
    return np.concatenate([np.zeros_like(h[:1]), h[:-1]])


def version(tensors):
    if any(name in tensors for name in ("blocks.0.ffn.s_emb.weight", "blocks.0.ffn.enn.weight")):
        raise ValueError("RWKV-7a, 7b and 8 are not supported")
    if "blocks.0.att.r_k" in tensors:
        return "7"
    if "blocks.0.att.time_maa_x" in tensors:
        return "6"
    if "blocks.0.att.ln_x.weight" not in tensors:
        return "4"
    if "blocks.0.att.gate.weight" not in tensors:
        return "5.0"
    return "5.2" if tensors["blocks.0.att.time_decay"].squeeze().ndim == 2 else "5.1"


class Rwkv:
    def __init__(self, tensors):
        self.version = version(tensors)
        self.tensors = {}
        for name, value in tensors.items():
            value = value.astype(np.float64)
            self.tensors[name] = value.reshape(-1) if value.shape[:2] == (1, 1) else value
        self.layers = 1 + max(int(n.split(".")[1]) for n in tensors if n.startswith("blocks."))
        self.vocabulary = len(self.tensors["emb.weight"])
        self.time_mix = {"4": self._time_mix4, "6": self._time_mix6, "7": self._time_mix7}.get(
            self.version, self._time_mix5)
        self.channel_mix = {"4": self._channel_mix4, "6": self._channel_mix6, "7": self._channel_mix7}.get(
            self.version, self._channel_mix4)

    def logprobs(self, tokens):
        """For i >= 1: log p(tokens[i] | tokens before it), the most probable token there, and its log p; and the
        last row of logits."""
        x = self._hidden(np.asarray(tokens))
        head, targets = self.tensors["head.weight"], np.asarray(tokens[1:])
        logprob, best, best_logprob = [], [], []
        for start in range(0, len(targets), TILE):
            z = x[start:start + TILE][: len(targets) - start] @ head.T
            top = z.max(-1)
            norm = top + np.log(np.exp(z - top[:, None]).sum(-1))
            logprob.append(z[np.arange(len(z)), targets[start:start + TILE]] - norm)
            best.append(z.argmax(-1))
            best_logprob.append(top - norm)
        columns = [np.concatenate(c) if c else np.zeros(0) for c in (logprob, best, best_logprob)]
        return (*columns, head @ x[-1])

    def _hidden(self, tokens):
        t = self.tensors
        x = self._norm(t["emb.weight"][tokens], "blocks.0.ln0")
        self._v_first = None
        for i in range(self.layers):
            x = x + self.time_mix(f"blocks.{i}.att.", self._norm(x, f"blocks.{i}.ln1"))
            x = x + self.channel_mix(f"blocks.{i}.ffn.", self._norm(x, f"blocks.{i}.ln2"))
        return self._norm(x, "ln_out")

    def _norm(self, x, name):
        return layer_norm(x, self.tensors[name + ".weight"], self.tensors[name + ".bias"])

    def _matrix(self, name, x):
        return x @ self.tensors[name + ".weight"].T

    def _mixer(self, p, h):
        """x -> the input of `x`: a blend of this token's and the previous one's."""
        previous = shift(h)

        def blend(x):
            m = self.tensors[p + x]
            return h * m + previous * (1 - m)

        return blend

    def _group_norm(self, p, y):
        """y [T, H, N] -> [T, A]; eps is 64e-5 whatever the head size."""
        count, heads, size = y.shape
        w = self.tensors[p + "ln_x.weight"].reshape(heads, size)
        b = self.tensors[p + "ln_x.bias"].reshape(heads, size)
        return layer_norm(y, w, b, 64e-5).reshape(count, heads * size)

    def _time_mix4(self, p, h):
        blend = self._mixer(p, h)
        r = sigmoid(self._matrix(p + "receptance", blend("time_mix_r")))
        k = self._matrix(p + "key", blend("time_mix_k"))
        v = self._matrix(p + "value", blend("time_mix_v"))
        u, w = self.tensors[p + "time_first"], -np.exp(self.tensors[p + "time_decay"])
        aa, bb, pp = np.zeros_like(u), np.zeros_like(u), np.full_like(u, -1e30)
        y = np.empty_like(v)
        for i in range(len(h)):
            q = np.maximum(pp, u + k[i])
            e1, e2 = np.exp(pp - q), np.exp(u + k[i] - q)
            y[i] = (e1 * aa + e2 * v[i]) / (e1 * bb + e2)
            q = np.maximum(pp + w, k[i])
            e1, e2 = np.exp(pp + w - q), np.exp(k[i] - q)
            aa, bb, pp = e1 * aa + e2 * v[i], e1 * bb + e2, q
        return self._matrix(p + "output", r * y)

    def _wkv(self, r, k, v, w, u):
        """Versions 5 and 6.  r, k, v, w [T, H, N], u [H, N]; the state is [H, key, value]."""
        state = np.zeros((r.shape[1], r.shape[2], r.shape[2]))
        y = np.empty_like(v)
        for i in range(len(r)):
            kv = k[i][:, :, None] * v[i][:, None, :]
            y[i] = (r[i][:, None, :] @ (state + u[:, :, None] * kv))[:, 0]
            state = w[i][:, :, None] * state + kv
        return y

    def _time_mix5(self, p, h):
        t, blend = self.tensors, self._mixer(p, h)
        decay = t[p + "time_decay"].squeeze()
        heads = len(decay)
        split = lambda x: x.reshape(len(h), heads, -1)  # noqa: E731
        r = split(self._matrix(p + "receptance", blend("time_mix_r")))
        k = split(self._matrix(p + "key", blend("time_mix_k")))
        v = split(self._matrix(p + "value", blend("time_mix_v")))
        shape = (heads, r.shape[2])
        w = np.broadcast_to(np.exp(-np.exp(decay.reshape(heads, -1))), shape)
        bonus = np.exp(t[p + "time_first"]) if p + "time_first" in t else t[p + "time_faaaa"]
        u = np.broadcast_to(bonus.reshape(heads, -1), shape)
        y = self._group_norm(p, self._wkv(r, k, v, np.broadcast_to(w, r.shape), u))
        if p + "gate.weight" in t:
            y = y * silu(self._matrix(p + "gate", blend("time_mix_g")))
        return self._matrix(p + "output", y)

    def _time_mix6(self, p, h):
        t, d = self.tensors, shift(h) - h
        z = np.tanh((h + d * t[p + "time_maa_x"]) @ t[p + "time_maa_w1"]).reshape(len(h), 5, -1)
        x = {c: h + d * (t[p + "time_maa_" + c] + z[:, n] @ t[p + "time_maa_w2"][n]) for n, c in enumerate("wkvrg")}
        u = t[p + "time_faaaa"]
        split = lambda a: a.reshape(len(h), *u.shape)  # noqa: E731
        r = split(self._matrix(p + "receptance", x["r"]))
        k = split(self._matrix(p + "key", x["k"]))
        v = split(self._matrix(p + "value", x["v"]))
        ww = t[p + "time_decay"] + np.tanh(x["w"] @ t[p + "time_decay_w1"]) @ t[p + "time_decay_w2"]
        y = self._group_norm(p, self._wkv(r, k, v, split(np.exp(-np.exp(ww))), u))
        return self._matrix(p + "output", y * silu(self._matrix(p + "gate", x["g"])))

    def _time_mix7(self, p, h):
        t, d = self.tensors, shift(h) - h
        x = {c: h + d * t[p + "x_" + c] for c in "rwkvag"}
        r_k = t[p + "r_k"]
        split = lambda a: a.reshape(len(h), *r_k.shape)  # noqa: E731
        r = self._matrix(p + "receptance", x["r"])
        k = self._matrix(p + "key", x["k"])
        v = self._matrix(p + "value", x["v"])
        w = np.exp(-0.606531 * sigmoid(t[p + "w0"] + np.tanh(x["w"] @ t[p + "w1"]) @ t[p + "w2"]))
        a = sigmoid(t[p + "a0"] + x["a"] @ t[p + "a1"] @ t[p + "a2"])
        g = sigmoid(x["g"] @ t[p + "g1"]) @ t[p + "g2"]
        if self._v_first is None:
            self._v_first = v
        else:
            v = v + (self._v_first - v) * sigmoid(t[p + "v0"] + x["v"] @ t[p + "v1"] @ t[p + "v2"])
        kk = split(k * t[p + "k_k"])
        kk = kk / np.maximum(np.sqrt((kk**2).sum(-1, keepdims=True)), 1e-12)
        k = k * (1 + (a - 1) * t[p + "k_a"])
        r, k, v, w, a = (split(c) for c in (r, k, v, w, a))
        state = np.zeros((*r_k.shape, r_k.shape[1]))  # [H, value, key]
        y = np.empty_like(v)
        for i in range(len(h)):
            removed = -(state @ kk[i][:, :, None])
            state = (state * w[i][:, None, :] + removed * (kk[i] * a[i])[:, None, :] +
                     v[i][:, :, None] * k[i][:, None, :])
            y[i] = (state @ r[i][:, :, None])[:, :, 0]
        bonus = (r * k * r_k).sum(-1, keepdims=True) * v
        return self._matrix(p + "output", (self._group_norm(p, y) + bonus.reshape(g.shape)) * g)

    def _channel_mix4(self, p, h):
        blend = self._mixer(p, h)
        hidden = relu2(self._matrix(p + "key", blend("time_mix_k")))
        return sigmoid(self._matrix(p + "receptance", blend("time_mix_r"))) * self._matrix(p + "value", hidden)

    def _channel_mix6(self, p, h):
        t, d = self.tensors, shift(h) - h
        hidden = relu2(self._matrix(p + "key", h + d * t[p + "time_maa_k"]))
        gate = sigmoid(self._matrix(p + "receptance", h + d * t[p + "time_maa_r"]))
        return gate * self._matrix(p + "value", hidden)

    def _channel_mix7(self, p, h):
        d = shift(h) - h
        return self._matrix(p + "value", relu2(self._matrix(p + "key", h + d * self.tensors[p + "x_k"])))
