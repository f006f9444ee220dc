#!/usr/bin/env python3
"""Any Hugging Face causal language model under deciban (needs torch and transformers):

    deciban eval -m 'exec:python3 plugins/transformers.py MODEL' -c texts/

MODEL is a folder or a name on the hub.  docs/plugins.md describes the protocol."""
import base64, hashlib, json, os, sys

sys.path = [p for p in sys.path if os.path.realpath(p or ".") != os.path.dirname(os.path.realpath(__file__))]
import torch, transformers  # the packages: this file has the name of one

SHOWN = [*range(33, 127), *range(161, 173), *range(174, 256)]  # the letters of byte-level BPE (GPT-2) are these and,
LETTERS = {chr(b): b for b in SHOWN}  # for the other bytes, those from 256 on
LETTERS |= {chr(256 + i): b for i, b in enumerate(b for b in range(256) if b not in SHOWN)}
DTYPES = {"auto": torch.float32, "f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class Model:
    def __init__(self, path, options):
        if options["format"] not in DTYPES:
            raise ValueError(f"mode '{options['format']}': this program knows {', '.join(DTYPES)}")
        self.format = options["format"].replace("auto", "f32")
        self.device = options["device"].replace("auto", "cuda" if torch.cuda.is_available() else "cpu")
        if options["threads"]:
            torch.set_num_threads(options["threads"])
        load = transformers.AutoModelForCausalLM.from_pretrained
        self.model = load(path, dtype=DTYPES[self.format]).eval().to(self.device)
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
        return {"n_vocab": self.vocabulary, "name": os.path.basename(os.path.normpath(self.path)),
                "family": config.model_type, "digest": digest.hexdigest(), "start_token": start,
                "tokenizer": "bytes" if t is None else type(t).__name__, "format": self.format,
                "weight_format": self.format, "activation_format": self.format, "device": self.device,
                "kernels": f"torch {torch.__version__}, transformers {transformers.__version__}",
                "threads": torch.get_num_threads(), "parameters": self.model.num_parameters(), "batch_size": 8,
                "context_limit": getattr(config, "max_position_embeddings", None), "constant_state": False,
                "batch_bound": 1e-3 if self.format == "f32" else 0.5, "rows": True, "memory": True}

    def encode(self, text):
        data = text.encode() if isinstance(text, str) else base64.b64decode(text["bytes"])
        return list(data) if self.tokenizer is None else self.tokenizer(data.decode(), add_special_tokens=False).input_ids

    def decode(self, tokens):
        if self.tokenizer is not None and not self.byte_level:
            return self.tokenizer.decode(tokens, clean_up_tokenization_spaces=False)
        letters = "" if self.tokenizer is None else "".join(self.tokenizer.convert_ids_to_tokens(tokens))
        data = [bytes([LETTERS[c]]) if c in LETTERS else c.encode() for c in letters]
        return {"bytes": base64.b64encode(b"".join(data) if self.tokenizer else bytes(tokens)).decode()}

    @torch.inference_mode()
    def score(self, sequences, rows):
        width = max(len(s["tokens"]) for s in sequences)
        tokens = torch.tensor([s["tokens"] + [0] * (width - len(s["tokens"])) for s in sequences], device=self.device)
        mask = torch.tensor([[t < len(s["tokens"]) for t in range(width)] for s in sequences], device=self.device)
        logits = self.model(input_ids=tokens, attention_mask=mask.long(), use_cache=False).logits
        for i, s in enumerate(sequences):
            own = logits[i, s["first"] - 1 : len(s["tokens"]) - 1].float()
            logprobs = torch.log_softmax(own, dim=-1)
            (best, place), chosen = logprobs.max(-1), logprobs.gather(1, tokens[i, s["first"] : len(s["tokens"]), None])
            yield {"logprob": chosen[:, 0].tolist(), "best_logprob": best.tolist(), "best": place.tolist(),
                   "rows": base64.b64encode(own.cpu().contiguous().numpy().tobytes()).decode() if rows else ""}


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
            return {"results": list(model.score(call["sequences"], call.get("rows", False)))}
        case "memory":
            return {"weights": model.model.get_memory_footprint()}
    raise ValueError(f"unknown call {call['call']}")


replies, sys.stdout = sys.stdout, sys.stderr  # what libraries print must not end up among the replies
for line in sys.stdin:
    request = json.loads(line)
    try:
        reply = answer(request)
    except Exception as error:
        reply = {"error": f"{type(error).__name__}: {error}"}
    print(json.dumps({"id": request["id"], **reply}), file=replies, flush=True)
