#!/usr/bin/env python3
"""Any Hugging Face causal language model under deciban (needs torch and transformers):

    deciban eval -m 'exec:python3 plugins/transformers.py MODEL' -c texts/

MODEL is a folder or a name on the hub.  torch_program.py has the loop; docs/plugins.md describes the protocol."""
import hashlib, json, os

from torch_program import DTYPES, bytes_of, chosen, described, result, serve, text_of
import torch, transformers  # the package: this file has its name

SHOWN = [*range(33, 127), *range(161, 173), *range(174, 256)]  # the letters of byte-level BPE (GPT-2) are these and,
LETTERS = {chr(b): b for b in SHOWN}  # for the other bytes, those from 256 on
LETTERS |= {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in SHOWN)}


class Model:
    def __init__(self, path, options):
        self.mode, self.device = chosen(options)
        load = transformers.AutoModelForCausalLM.from_pretrained
        self.model = load(path, dtype=DTYPES[self.mode]).eval().to(self.device)
        self.path, self.vocabulary = path, self.model.get_output_embeddings().weight.shape[0]
        self.tokenizer, self.byte_level = None, False  # small vocabularies without a tokenizer are bytes
        if self.vocabulary > 257 or os.path.exists(os.path.join(path, "tokenizer.json")):
            self.tokenizer = transformers.AutoTokenizer.from_pretrained(path)
            self.byte_level = "ByteLevel" in str(json.loads(self.tokenizer.backend_tokenizer.to_str())["decoder"])

    def info(self):
        config, t = self.model.config, self.tokenizer
        digest = hashlib.sha256(f"{self.path} {config.to_json_string()}".encode())
        for name in sorted(os.listdir(self.path)) if os.path.isdir(self.path) else []:
            if name.endswith((".safetensors", ".bin")):
                with open(os.path.join(self.path, name), "rb") as file:
                    hashlib.file_digest(file, lambda: digest)
        start = 0 if t is None else t.bos_token_id if t.bos_token_id is not None else t.eos_token_id
        return described(
            self.mode, self.device, n_vocab=self.vocabulary, name=os.path.basename(os.path.normpath(self.path)),
            family=config.model_type, digest=digest.hexdigest(), start_token=start, batch_size=8, memory=True,
            tokenizer="bytes" if t is None else type(t).__name__, parameters=self.model.num_parameters(),
            kernels=f"torch {torch.__version__}, transformers {transformers.__version__}", constant_state=False,
            context_limit=getattr(config, "max_position_embeddings", None),
            batch_bound=1e-3 if self.mode == "f32" else 0.5)

    def encode(self, text):
        data = bytes_of(text)
        return list(data) if self.tokenizer is None else self.tokenizer(data.decode(), add_special_tokens=False).input_ids

    def decode(self, tokens):
        if self.tokenizer is None:
            return text_of(bytes(tokens))
        if not self.byte_level:
            return self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
        letters = "".join(self.tokenizer.convert_ids_to_tokens(tokens))
        return text_of(b"".join(bytes([LETTERS[c]]) if c in LETTERS else c.encode() for c in letters))

    def score(self, sequences, rows):
        # The last token is not read, since nothing is scored after it; of a single one there is nothing else.
        texts = [s["tokens"][:-1] or s["tokens"] for s in sequences]
        width = max(map(len, texts))
        tokens = torch.tensor([t + [0] * (width - len(t)) for t in texts], device=self.device)
        mask = torch.tensor([[i < len(t) for i in range(width)] for t in texts], device=self.device)
        logits = self.model(input_ids=tokens, attention_mask=mask.long(), use_cache=False).logits
        return [result(logits[i], s, rows) for i, s in enumerate(sequences)]

    def weights(self):
        return self.model.get_memory_footprint()


serve(Model)
