#!/usr/bin/env python3
"""Compares deciban's standard tasks with lm-evaluation-harness itself: the same model, every request.

Needs lm_eval, torch, and transformers (--backend hf); --backend rwkv is RWKV-7 as written below; no network: the harness's own task
files are read from its package, their data from --tasks-data.  A byte-level model has ids equal to bytes and 0 as its
separator.

  lm_eval_tasks.py --program build/release/bin/deciban --backend rwkv --model datasets/demo/rwkv7 \
      --tasks-data DIR --out tests/golden/tasks/lm_eval_rwkv7.json
  lm_eval_tasks.py --program … --backend hf --model DIR/gptneox --ours-model plugin:transformer:DIR/gptneox …

Ends with 1 if a log-likelihood differs by more than 1e-4 (of whole texts: 1e-7 of it, if that is more), an accuracy or
its error by more than 1e-9 of it, or a perplexity by more than 1e-4 of it.
"""
import argparse
import json
import math
import pathlib
import subprocess
import sys
import tempfile

LIMIT = {"wikitext": 2}
# Task → (split of the file, files by split).  Few-shot pools stand beside.
FILES = {
    "arc_easy": {"test": "arc_easy/test", "train": "arc_easy/train"},
    "arc_challenge": {"test": "arc_challenge/test", "train": "arc_challenge/train"},
    "copa": {"validation": "copa/validation", "train": "copa/train32"},
    "headqa_en": {"test": "headqa_en/test", "train": "headqa_en/train"},
    "lambada_openai": {"test": "lambada_openai/test"},
    "openbookqa": {"test": "openbookqa/test", "train": "openbookqa/train"},
    "piqa": {"validation": "piqa/validation"},
    "winogrande": {"validation": "winogrande/validation"},
    "mmlu_anatomy": {"test": "mmlu/anatomy/test", "dev": "mmlu/anatomy/dev"},
    "wikitext": {"test": "wikitext/test_document_level"},
}


def harness_config(name, data):
    """The harness's own task file, with its data from local JSON Lines."""
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager()
    root = pathlib.Path(lm_eval.__file__).parent / "tasks"
    entry = manager.task_index[name]
    path = pathlib.Path(getattr(entry, "yaml_path", None) or entry["yaml_path"])
    if not path.is_absolute():
        path = root / path
    from lm_eval.tasks._yaml_loader import load_yaml

    config = load_yaml(path)
    for key in ("training_split", "validation_split", "test_split", "fewshot_split"):
        if config.get(key) and config[key] not in FILES[name]:
            config[key] = None
    config = {k: v for k, v in config.items() if v is not None and k not in ("tag", "group", "dataset_kwargs")}
    config["dataset_path"] = "json"
    config["dataset_name"] = None
    config["dataset_kwargs"] = {"data_files": {split: str(data / (file + ".jsonl")) for split, file in FILES[name].items()}}
    config["task"] = name
    return config


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

    torch.set_num_threads(2)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32)
    return HFLM(pretrained=model, tokenizer=byte_tokenizer(), max_length=length, device="cpu", batch_size=8,
                softmax_dtype="float32")


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


def rwkv_model(path, length):
    """RWKV-7 behind the harness's own tokenisation of pairs and its own rolling windows."""
    import torch
    from lm_eval import utils
    from lm_eval.api.model import TemplateLM

    torch.set_num_threads(2)
    weights = pathlib.Path(path)
    forward = rwkv7_forward(weights / "model.pth" if weights.is_dir() else weights)

    class Rwkv(TemplateLM):
        @property
        def eot_token_id(self):
            return 0

        def tok_encode(self, string, **kwargs):
            return list(string.encode())

        def score(self, pairs):
            """Log-likelihood and greediness of each (context, continuation), in batches of like lengths."""
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
                    context, continuation = map(len, pairs[i])
                    logprobs = torch.log_softmax(logits[row, context - 1 : context + continuation - 1], -1)
                    wanted = torch.tensor(pairs[i][1])
                    greedy = bool((logprobs.argmax(-1) == wanted).all())
                    answers[i] = (float(logprobs.gather(1, wanted[:, None]).double().sum()), greedy)
            return answers

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
                    token_list=self.tok_encode(request.args[0]), prefix_token=0, max_seq_len=length, context_len=1)
                totals.append(sum(a[0] for a in self.score([utils.make_disjoint_window(w) for w in windows])))
            return totals

        def generate_until(self, requests, **kwargs):
            raise ValueError("this model only gives log-likelihoods")

    return Rwkv()


def ours(arguments, names, shots, limit, folder):
    """Our program's results and samples, as it exports them."""
    data = pathlib.Path(folder) / "data"
    for name in names:
        for split, file in FILES[name].items():
            link = data / (name if not name.startswith("mmlu_") else "mmlu/" + name[5:]) / (split + ".jsonl")
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to((arguments.tasks_data / (file + ".jsonl")).resolve())
    out = pathlib.Path(folder) / f"{'-'.join(names)[:40]}-{shots}"
    subprocess.run(
        [arguments.program, "eval", "-m", arguments.ours_model or arguments.model, "--mode", "f32", "--device", "cpu",
         "-t", ",".join(names), "--shots", str(shots), "--limit", str(limit), "--task-mode",
         f"lm-eval:{arguments.length}", "--tasks-data", str(data), "-o", str(out / "records"),
         "--export", str(out / "results.json"), "-q"] + arguments.ours_option,
        check=True, stdout=subprocess.DEVNULL)
    results = json.loads((out / "results.json").read_text())["results"]
    samples = {n: [json.loads(line) for line in (out / f"samples_{n}.jsonl").read_text().splitlines()] for n in names}
    return results, samples


def same(a, b):
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    return a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b))


def compare(name, shots, theirs, our_results, our_samples, report):
    samples = sorted(theirs["samples"][name], key=lambda s: s["doc_id"])
    worst, off, greedy, requests, answers = 0.0, 0, 0, 0, []
    if len(samples) != len(our_samples):
        raise SystemExit(f"{name}: {len(samples)} documents there, {len(our_samples)} here")
    for there, here in zip(samples, our_samples):
        # The list form of the harness's arguments and the keyed form of its files.
        asked = [list(a) if isinstance(a, (list, tuple)) else list(a.values()) for a in (
            there["arguments"].values() if isinstance(there["arguments"], dict) else there["arguments"])]
        if asked != [list(a.values()) for a in here["arguments"].values()]:
            raise SystemExit(f"{name} {there['doc_id']}: the requests differ\n{asked}\n{here['arguments']}")
        for key in ("doc_hash", "prompt_hash", "target_hash"):
            if there[key] != here[key]:
                print(f"note: {name} {there['doc_id']}: {key} differs", file=sys.stderr)
        row = []
        for a, b in zip(there["filtered_resps"], here["filtered_resps"]):
            pair = not isinstance(b, str)
            logprob = float(a[0] if pair else a)
            difference = abs(logprob - float(b[0] if pair else b))
            worst = max(worst, difference)
            # Whole texts sum thousands of tokens: float32's own share of that is beyond any fixed bound.
            off += difference > max(1e-4, 1e-7 * abs(logprob))
            greedy += pair and str(a[1]) != b[1]
            row.append(round(logprob, 6))
            requests += 1
        answers.append(row)
    metrics = {}
    for key, value in theirs["results"][name].items():
        if not key.endswith(",none"):
            continue
        metrics[key] = value
        here = our_results[name].get(key)
        # A perplexity is the exponential of log-likelihoods that may differ by 1e-4.
        near = same(value, here) or ("perplexity" in key or "bits" in key) and math.isclose(value, here, rel_tol=1e-4)
        if not near:
            report["failures"].append(f"{name} ({shots} shots) {key}: {value} there, {here} here")
    if off or greedy:
        report["failures"].append(f"{name} ({shots} shots): {off} log-likelihoods differ, by up to {worst}, and {greedy} greedy ones")
    report["tasks"].append({"task": name, "shots": shots, "files": FILES[name], "documents": len(samples), "requests": requests,
                            "largest_difference": worst, "results": metrics, "logprobs": answers})
    print(f"{name:16} {shots} shots  {len(samples):4} documents {requests:5} requests  largest difference {worst:.2e}",
          file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--backend", choices=("hf", "rwkv"), required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--ours-model", help="how our program is to open it; default: the same")
    parser.add_argument("--ours-option", action="append", default=[], help="a further word for our program")
    parser.add_argument("--tasks-data", type=pathlib.Path, required=True)
    parser.add_argument("--tasks", default=",".join(FILES))
    parser.add_argument("--shots", default="0", help="0, or 0,2 for both")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--out", type=pathlib.Path)
    arguments = parser.parse_args()
    import lm_eval
    from lm_eval.api.task import ConfigurableTask

    model = (hf_model if arguments.backend == "hf" else rwkv_model)(arguments.model, arguments.length)
    report = {"harness": lm_eval.__version__, "model": pathlib.Path(arguments.model).name, "backend": arguments.backend,
              "length": arguments.length, "limit": arguments.limit, "failures": [], "tasks": []}
    with tempfile.TemporaryDirectory() as folder:
        for shots in map(int, arguments.shots.split(",")):
            for name in arguments.tasks.split(","):
                pools = [s for s in FILES[name] if s in ("train", "dev")] or name.startswith("lambada")
                if shots and (not pools or name == "wikitext"):
                    continue
                limit = min(arguments.limit, LIMIT.get(name, arguments.limit))
                task = ConfigurableTask(config=harness_config(name, arguments.tasks_data))
                theirs = lm_eval.simple_evaluate(model=model, tasks=[task], num_fewshot=shots, limit=limit,
                                                 log_samples=True)
                our_results, our_samples = ours(arguments, [name], shots, limit, folder)
                compare(name, shots, theirs, our_results, our_samples[name], report)
    report["documents"] = sum(t["documents"] for t in report["tasks"])
    if arguments.out:
        text = json.dumps(report, indent=1)
        arguments.out.write_text(text + "\n")
    for failure in report["failures"]:
        print("FAILED", failure, file=sys.stderr)
    print(f"{report['documents']} documents of {len(report['tasks'])} tasks, {len(report['failures'])} failures",
          file=sys.stderr)
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
