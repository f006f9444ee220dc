#!/usr/bin/env python3
"""The reference implementation of RWKV, the `rwkv` package of PyPI, under deciban:

    deciban eval -m 'exec:python3 plugins/rwkv_pip.py MODEL.pth' -c texts/

RWKV-7 needs RWKV_V7_ON=1 in the environment, which this program sets by the model's tensors.  Vocabularies of 256
are bytes, others the package's World vocabulary.  torch_program.py has the loop."""
import hashlib, os

from torch_program import bytes_of, chosen, described, result, serve, text_of
import torch

STRATEGIES = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}


class Model:
    def __init__(self, path, options):
        self.path, (self.mode, self.device) = path, chosen(options)
        shapes = {k: tuple(v.shape) for k, v in torch.load(path, map_location="cpu", mmap=True).items()}
        self.vocabulary, self.width = shapes["emb.weight"]
        self.parameters = sum(torch.Size(shape).numel() for shape in shapes.values())
        self.seven = "blocks.0.att.r_k" in shapes
        os.environ["RWKV_V7_ON"] = "1" if self.seven else "0"
        os.environ.setdefault("RWKV_JIT_ON", "0")
        from rwkv.model import RWKV

        self.model = RWKV(path.removesuffix(".pth"), f"{self.device} {STRATEGIES[self.mode]}")
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
        return described(
            self.mode, self.device, n_vocab=self.vocabulary, name=name, family="rwkv7" if self.seven else "rwkv",
            digest=digest, start_token=0, tokenizer="world" if self.trie else "bytes", parameters=self.parameters,
            width=self.width, kernels=f"rwkv, torch {torch.__version__}")

    def encode(self, text):
        return self.trie.encodeBytes(bytes_of(text)) if self.trie else list(bytes_of(text))

    def decode(self, tokens):
        tokens = [t for t in tokens if t != 0] if self.trie else tokens  # 0 ends a text and has no bytes
        return text_of(self.trie.decodeBytes(tokens) if self.trie else bytes(tokens))

    def score(self, sequences, rows):
        for s in sequences:
            logits, _ = self.model.forward(s["tokens"][:-1], None, full_output=True)
            yield result(logits.reshape(len(s["tokens"]) - 1, -1), s, rows)


serve(Model)
