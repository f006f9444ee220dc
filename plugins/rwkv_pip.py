#!/usr/bin/env python3
"""The reference implementation of RWKV, the `rwkv` package of PyPI, under deciban:

    deciban eval -m 'exec:python3 plugins/rwkv_pip.py MODEL.pth' -c texts/

RWKV-7 needs RWKV_V7_ON=1 in the environment, which this program sets by the model's tensors.  Vocabularies of 256
are bytes, others the package's World vocabulary.  docs/plugins.md describes the protocol."""
import base64, hashlib, json, os, sys

replies, sys.stdout = sys.stdout, sys.stderr  # the package prints as it loads
import torch

STRATEGIES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}


class Model:
    def __init__(self, path, options):
        self.path, self.format = path, options["format"].replace("auto", "f32")
        if self.format not in STRATEGIES:
            raise ValueError(f"mode '{self.format}': this program knows {', '.join(STRATEGIES)}")
        self.device = options["device"].replace("auto", "cuda" if torch.cuda.is_available() else "cpu")
        if options["threads"]:
            torch.set_num_threads(options["threads"])
        shapes = {k: tuple(v.shape) for k, v in torch.load(path, map_location="cpu", mmap=True).items()}
        self.vocabulary, self.width = shapes["emb.weight"]
        self.parameters = sum(torch.Size(shape).numel() for shape in shapes.values())
        os.environ["RWKV_V7_ON"] = "1" if "blocks.0.att.r_k" in shapes else "0"
        os.environ.setdefault("RWKV_JIT_ON", "0")
        from rwkv.model import RWKV

        self.seven = os.environ["RWKV_V7_ON"] == "1"
        self.model = RWKV(path.removesuffix(".pth"), f"{self.device} {STRATEGIES[self.format]}")
        self.trie = None
        if self.vocabulary > 257:
            from rwkv.rwkv_tokenizer import TRIE_TOKENIZER
            import rwkv

            self.trie = TRIE_TOKENIZER(os.path.join(rwkv.__path__[0], "rwkv_vocab_v20230424.txt"))

    def info(self):
        with open(self.path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        stem = os.path.basename(self.path).removesuffix(".pth")
        name = os.path.basename(os.path.dirname(os.path.abspath(self.path))) if stem == "model" else stem
        return {"n_vocab": self.vocabulary, "name": name,
                "family": "rwkv7" if self.seven else "rwkv", "digest": digest, "start_token": 0,
                "tokenizer": "world" if self.trie else "bytes", "format": self.format, "weight_format": self.format,
                "activation_format": self.format, "device": self.device, "kernels": f"rwkv, torch {torch.__version__}",
                "threads": torch.get_num_threads(), "parameters": self.parameters, "width": self.width, "rows": True}

    def encode(self, text):
        data = text.encode() if isinstance(text, str) else base64.b64decode(text["bytes"])
        return self.trie.encodeBytes(data) if self.trie else list(data)

    def decode(self, tokens):
        tokens = [t for t in tokens if t != 0] if self.trie else tokens  # 0 ends a text and has no bytes
        data = self.trie.decodeBytes(tokens) if self.trie else bytes(tokens)
        return {"bytes": base64.b64encode(data).decode()}

    @torch.inference_mode()
    def score(self, sequence, rows):
        tokens, first = sequence["tokens"], sequence["first"]
        logits, _ = self.model.forward(tokens[:-1], None, full_output=True)
        logits = logits.float().reshape(len(tokens) - 1, -1)[first - 1 :]
        logprobs = torch.log_softmax(logits, dim=-1)
        best, place = logprobs.max(dim=-1)
        chosen = logprobs.gather(1, torch.tensor(tokens[first:], device=logits.device)[:, None])[:, 0]
        return {"logprob": chosen.tolist(), "best_logprob": best.tolist(), "best": place.tolist(),
                "rows": base64.b64encode(logits.cpu().contiguous().numpy().tobytes()).decode() if rows else ""}


def answer(call):
    global model
    match call["call"]:
        case "open":
            model = Model(sys.argv[1], call["options"])
            return {"info": model.info()}
        case "encode":
            return {"tokens": model.encode(call["text"])}
        case "decode":
            return {"text": model.decode(call["tokens"])}
        case "score":
            return {"results": [model.score(s, call.get("rows", False)) for s in call["sequences"]]}
    raise ValueError(f"unknown call {call['call']}")


for line in sys.stdin:
    request = json.loads(line)
    try:
        reply = answer(request)
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"id": request["id"], **reply}), file=replies, flush=True)
