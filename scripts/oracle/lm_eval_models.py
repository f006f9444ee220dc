"""Models behind lm-evaluation-harness's own interface, which lm_eval_tasks.py compares with our program.

`length` is the most tokens a model is given to read before the last one, as in the harness's `hf` backend.  Byte-level
models have ids equal to bytes and 0 as their separator."""
import pathlib


def byte_tokenizer():
    """A Hugging Face tokenizer whose ids are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    shown = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    chars, extra = {}, 0
    for byte in range(256):
        chars[byte] = chr(byte) if byte in shown else chr(256 + extra)
        extra += byte not in shown
    tokenizer = Tokenizer(models.BPE(vocab={c: b for b, c in chars.items()}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=chars[0])


def hf_model(path, length):
    import torch
    from lm_eval.models.huggingface import HFLM
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    # In float64, so that a difference is that of our f32 alone.
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float64)
    return HFLM(pretrained=model, tokenizer=byte_tokenizer(), max_length=length, device="cpu", batch_size=8,
                softmax_dtype="float64")


def rwkv7_forward(weights):
    """RWKV-7 in float32 for batches [B, T] of tokens → logits, by the formulas of the pip package `rwkv` (x070)."""
    import torch
    from torch.nn import functional as F

    z = {k: v.float().squeeze() for k, v in torch.load(weights, map_location="cpu").items()}
    layers = 1 + max(int(k.split(".")[1]) for k in z if k.startswith("blocks."))
    heads, size = z["blocks.0.att.r_k"].shape
    width = heads * size

    def norm(x, name):
        return F.layer_norm(x, (width,), z[name + ".weight"], z[name + ".bias"])

    def shifted(x):
        return F.pad(x, (0, 0, 1, 0))[:, :-1] - x

    @torch.no_grad()
    def forward(tokens):
        count, steps = tokens.shape
        x = norm(z["emb.weight"][tokens], "blocks.0.ln0")
        first = None
        for i in range(layers):
            p, b = f"blocks.{i}.att.", f"blocks.{i}."
            y = norm(x, b + "ln1")
            d = shifted(y)
            r, w, k, v, a, g = (y + d * z[p + "x_" + n] for n in "rwkvag")
            values = v
            r, k, v = (F.linear(t, z[p + n + ".weight"]) for t, n in ((r, "receptance"), (k, "key"), (v, "value")))
            w = torch.exp(-0.606531 * torch.sigmoid(z[p + "w0"] + torch.tanh(w @ z[p + "w1"]) @ z[p + "w2"]))
            a = torch.sigmoid(z[p + "a0"] + (a @ z[p + "a1"]) @ z[p + "a2"])
            g = torch.sigmoid(g @ z[p + "g1"]) @ z[p + "g2"]
            parts = lambda t: t.view(count, steps, heads, size)
            removal = F.normalize(parts(k * z[p + "k_k"]), dim=-1)
            k = k * (1 + (a - 1) * z[p + "k_a"])
            if i == 0:
                first = v
            else:
                v = v + (first - v) * torch.sigmoid(z[p + "v0"] + (values @ z[p + "v1"]) @ z[p + "v2"])
            rr, ww, kk, vv, aa = map(parts, (r, w, k, v, a))
            state = torch.zeros(count, heads, size, size)
            out = []
            for t in range(steps):
                change = (-removal[:, t])[..., None] @ (removal[:, t] * aa[:, t])[..., None, :]
                state = state * ww[:, t, :, None, :] + state @ change + vv[:, t][..., None] @ kk[:, t][..., None, :]
                out.append((state @ rr[:, t][..., None])[..., 0])
            y = torch.stack(out, 1).reshape(count * steps, width)
            y = F.group_norm(y, heads, z[p + "ln_x.weight"], z[p + "ln_x.bias"], 64e-5).view(count, steps, width)
            y = y + ((rr * kk * z[p + "r_k"]).sum(-1, keepdim=True) * vv).reshape(count, steps, width)
            x = x + F.linear(y * g, z[p + "output.weight"])
            p = b + "ffn."
            y = norm(x, b + "ln2")
            k = torch.relu(F.linear(y + shifted(y) * z[p + "x_k"], z[p + "key.weight"])) ** 2
            x = x + F.linear(k, z[p + "value.weight"])
        return F.linear(norm(x, "ln_out"), z["head.weight"])

    return forward


def judged(logits, context, continuation):
    """Log-likelihood and greediness of a continuation; row i of the logits follows token i of both."""
    import torch

    rows = logits[len(context) - 1 : len(context) + len(continuation) - 1]
    logprobs = torch.log_softmax(rows, -1)
    wanted = torch.tensor(continuation)
    greedy = bool((logprobs.argmax(-1) == wanted).all())
    return float(logprobs.gather(1, wanted[:, None]).double().sum()), greedy


def pairs_model(length):
    """A base class: the harness's own tokenisation of pairs and its own rolling windows around score(pairs), which gives
    log-likelihood and greediness of each (context, continuation) in tokens."""
    from lm_eval import utils
    from lm_eval.api.model import TemplateLM

    class Pairs(TemplateLM):
        def _loglikelihood_tokens(self, requests, **kwargs):
            pairs = []
            for _, context, continuation in requests:
                kept = (context + continuation)[-(length + 1) :]
                pairs.append((kept[: -len(continuation)], continuation))
            return self.score(pairs)

        def loglikelihood_rolling(self, requests, **kwargs):
            totals = []
            for request in requests:
                windows = utils.get_rolling_token_windows(
                    token_list=self.tok_encode(request.args[0]), prefix_token=self.prefix_token_id, max_seq_len=length,
                    context_len=1)
                totals.append(sum(a[0] for a in self.score([utils.make_disjoint_window(w) for w in windows])))
            return totals

        def generate_until(self, requests, **kwargs):
            raise ValueError("this model only gives log-likelihoods")

    return Pairs


def rwkv_model(path, length):
    import torch

    torch.set_num_threads(1)
    weights = pathlib.Path(path)
    forward = rwkv7_forward(weights / "model.pth" if weights.is_dir() else weights)

    class Rwkv(pairs_model(length)):
        eot_token_id = 0

        def tok_encode(self, string, **kwargs):
            return list(string.encode())

        def score(self, pairs):
            answers = [None] * len(pairs)
            order = sorted(range(len(pairs)), key=lambda i: sum(map(len, pairs[i])))
            while order:
                chosen = [order.pop()]
                longest = sum(map(len, pairs[chosen[0]]))
                while order and len(chosen) < 48 and (len(chosen) + 1) * longest <= 24000:
                    chosen.append(order.pop())
                tokens = torch.zeros(len(chosen), longest, dtype=torch.long)
                for row, i in enumerate(chosen):
                    whole = pairs[i][0] + pairs[i][1]
                    tokens[row, : len(whole)] = torch.tensor(whole)
                logits = forward(tokens[:, :-1])
                for row, i in enumerate(chosen):
                    answers[i] = judged(logits[row], *pairs[i])
            return answers

    return Rwkv()


def llama_model(path, length):
    """llama-cpp-python: llama.cpp's tokenizer and logits, its cache of keys and values in f32."""
    import llama_cpp
    import torch

    llama = llama_cpp.Llama(model_path=str(path), n_ctx=length, n_batch=length, n_ubatch=length, n_threads=1,
                            n_threads_batch=1, logits_all=True, flash_attn=False, type_k=llama_cpp.GGML_TYPE_F32,
                            type_v=llama_cpp.GGML_TYPE_F32, verbose=False)

    class Llama(pairs_model(length)):
        eot_token_id = llama.token_eos()

        def tok_encode(self, string, **kwargs):
            return llama.tokenize(string.encode(), add_bos=False, special=False)

        def score(self, pairs):
            answers = []
            for context, continuation in pairs:
                tokens = (context + continuation)[:-1]
                llama.reset()
                llama.eval(tokens)
                answers.append(judged(torch.from_numpy(llama.scores[: len(tokens)]), context, continuation))
            return answers

    return Llama()


def served_model(url, length):
    """The harness's own `local-completions` client of a server with remote tokenisation."""
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    # It keeps max_length - 1 tokens of a request and reads rolling texts max_length - 2 at a time.
    return LocalCompletionsAPI(base_url=url + "/v1/completions", model="deciban", tokenizer_backend="remote",
                               num_concurrent=4, batch_size=8, max_length=length + 2)
