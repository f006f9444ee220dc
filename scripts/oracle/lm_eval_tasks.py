#!/usr/bin/env python3
"""Compares deciban's standard tasks with lm-evaluation-harness itself: the same model, every request, every figure.

Needs lm_eval and torch, and no network: the harness's own task files are read from its package, their data from
--tasks-data.  The model on its side, --backend:

  rwkv   RWKV-7 in PyTorch, written down in lm_eval_models.py
  serve  its `local-completions`, against `deciban serve`
  hf     its `hf`, with transformers and a byte tokenizer
  llama  llama-cpp-python (PyPI), a GGUF in Q4_1: its weights written as F32 are compared, and of the file as it is the
         differences are told, since llama.cpp rounds what it multiplies Q4_1 weights with to 8 bits

  T=tests/golden/tasks; R="lm_eval_tasks.py --program build/release/bin/deciban --tasks-data DIR --limit 40 --shots 0,2"
  $R --backend rwkv --model datasets/demo/rwkv7 --out $T/lm_eval_rwkv7.json
  $R --backend serve --model datasets/demo/rwkv7 --out $T/lm_eval_serve.json
  $R --backend hf --model datasets/demo/gptneox --length 1023 --out $T/lm_eval_gptneox.json
  lm_eval_tasks.py --program … --tasks-data DIR --backend llama --model SmolLM2-135M-Instruct.Q4_1.gguf --limit 15 \
      --tasks arc_easy,piqa,lambada_openai --out $T/lm_eval_smollm2.json

Ends with 1 if a log-likelihood differs by more than 1e-4 (of whole texts: 1e-7 of it, if that is more; of llama: 6e-4,
which a float64 computation of the worst ones shows to be llama.cpp's own), an accuracy or
its error by more than 1e-9 of it, or a perplexity by more than 1e-4 of it; or if the harness's table maker makes another
table of our exported results than of its own.
"""
import argparse
import functools
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile

import lm_eval_models
from serve_lm_eval import Server

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "reference"))

LIMIT = {"wikitext": 2}
ALLOWED = {"llama": 6e-4}  # nats a request, by backend; else 1e-4
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


@functools.cache
def task_manager():
    """The harness's index of its task files, which takes long to make."""
    from lm_eval.tasks import TaskManager

    return TaskManager()


def harness_config(name, data):
    """The harness's own task file, with its data from local JSON Lines."""
    import lm_eval

    manager = task_manager()
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


def ours(arguments, names, shots, limit, folder):
    """Our program's results file and samples, as it exports them."""
    data = pathlib.Path(folder) / "data"
    for name in names:
        for split, file in FILES[name].items():
            link = data / (name if not name.startswith("mmlu_") else "mmlu/" + name[5:]) / (split + ".jsonl")
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.exists():
                link.symlink_to((arguments.tasks_data / (file + ".jsonl")).resolve())
    out = pathlib.Path(folder) / f"{'-'.join(names)[:40]}-{shots}"
    subprocess.run(
        [arguments.program, "eval", "-m", arguments.model, "--mode", "f32", "--device", "cpu",
         "-t", ",".join(names), "--shots", str(shots), "--limit", str(limit), "--task-mode",
         f"lm-eval:{arguments.length}", "--tasks-data", str(data), "-o", str(out / "records"),
         "--export", str(out / "results.json"), "-q"], check=True, stdout=subprocess.DEVNULL)
    results = json.loads((out / "results.json").read_text())
    samples = {n: [json.loads(line) for line in (out / f"samples_{n}.jsonl").read_text().splitlines()] for n in names}
    return results, samples


def same(a, b):
    if isinstance(a, str) or isinstance(b, str):
        return a == b
    return a == b or abs(a - b) <= 1e-9 * max(abs(a), abs(b))


def near(metric, a, b):
    # A perplexity is the exponential of log-likelihoods that may differ by 1e-4.
    return same(a, b) or ("perplexity" in metric or "bits" in metric) and math.isclose(a, b, rel_tol=1e-4)


def compare_tables(name, shots, theirs, exported, report):
    """What the harness's table maker makes of its own results and of our file."""
    from lm_eval.utils import make_table

    there, here = ([[cell.strip() for cell in line.split("|")] for line in make_table(results).splitlines()]
                   for results in (theirs, exported))
    metric, equal = there[0].index("Metric"), len(there) == len(here)
    for row, other in zip(there, here):
        for a, b in zip(row, other):
            number = a.replace(".", "", 1).isdigit() and b.replace(".", "", 1).isdigit()
            equal = equal and (a == b or set(a) <= set("-:") >= set(b) or number and near(row[metric], float(a), float(b)))
    if not equal:
        report["failures"].append(f"{name} ({shots} shots): the tables differ\n{make_table(theirs)}\n{make_table(exported)}")


def asked_of(sample):
    """A document's requests, of either form: a list, or keyed as in the harness's files."""
    arguments = sample["arguments"]
    arguments = arguments.values() if isinstance(arguments, dict) else arguments
    return [list(a) if isinstance(a, (list, tuple)) else list(a.values()) for a in arguments]


def answers_of(sample):
    """(Log-likelihood, whether greedy decoding gives it) of a document's requests; of whole texts there is no second."""
    pairs = [(a, None) if isinstance(a, (str, float)) else a for a in sample["filtered_resps"]]
    return [(float(logprob), str(greedy)) for logprob, greedy in pairs]


def compare(name, shots, theirs, exported, our_samples, report):
    samples = sorted(theirs["samples"][name], key=lambda s: s["doc_id"])
    if len(samples) != len(our_samples):
        raise SystemExit(f"{name}: {len(samples)} documents there, {len(our_samples)} here")
    differences, off, greedy, answers = [], 0, 0, []
    for there, here in zip(samples, our_samples):
        if asked_of(there) != asked_of(here):
            raise SystemExit(f"{name} {there['doc_id']}: the requests differ\n{asked_of(there)}\n{asked_of(here)}")
        for key in ("doc_hash", "prompt_hash", "target_hash"):
            if there[key] != here[key]:
                print(f"note: {name} {there['doc_id']}: {key} differs", file=sys.stderr)
        for (a, first), (b, second) in zip(answers_of(there), answers_of(here), strict=True):
            differences.append(abs(a - b))
            # Whole texts sum thousands of tokens: float32's own share of that is beyond any fixed bound.
            off += abs(a - b) > max(ALLOWED.get(report["backend"], 1e-4), 1e-7 * abs(a))
            greedy += first != second
        answers.append([round(logprob, 6) for logprob, _ in answers_of(there)])
    metrics = {key: value for key, value in theirs["results"][name].items() if key.endswith(",none")}
    for key, value in metrics.items():
        if not near(key, value, exported["results"][name].get(key)):
            report["failures"].append(f"{name} ({shots} shots) {key}: {value} there, {exported['results'][name].get(key)} here")
    compare_tables(name, shots, theirs, exported, report)
    if off or greedy:
        report["failures"].append(f"{name} ({shots} shots): {off} log-likelihoods differ, by up to {max(differences)}, and "
                                  f"{greedy} greedy ones")
    report["tasks"].append({"task": name, "shots": shots, "files": FILES[name], "documents": len(samples),
                            "requests": len(differences), "largest_difference": max(differences),
                            "mean_difference": sum(differences) / len(differences), "greedy_differs": greedy,
                            "results": metrics, "logprobs": answers})
    print(f"{name:16} {shots} shots  {len(samples):4} documents {len(differences):5} requests  largest difference "
          f"{max(differences):.2e}", file=sys.stderr)


def evaluate(model, arguments, report):
    """Every task of the arguments by the harness with `model` and by our program, compared into `report`."""
    import lm_eval
    from lm_eval.api.task import ConfigurableTask

    with tempfile.TemporaryDirectory() as folder:
        for shots in map(int, arguments.shots.split(",")):
            for name in arguments.tasks.split(","):
                pools = [s for s in FILES[name] if s in ("train", "dev")] or name.startswith("lambada")
                if shots and (not pools or name == "wikitext"):
                    continue
                if any((t["task"], t["shots"]) == (name, shots) for t in report["tasks"]):
                    continue
                limit = min(arguments.limit, LIMIT.get(name, arguments.limit))
                task = ConfigurableTask(config=harness_config(name, arguments.tasks_data))
                theirs = lm_eval.simple_evaluate(model=model, tasks=[task], num_fewshot=shots, limit=limit,
                                                 log_samples=True, task_manager=task_manager())
                exported, our_samples = ours(arguments, [name], shots, limit, folder)
                compare(name, shots, theirs, exported, our_samples[name], report)


def evaluate_gguf(arguments, report):
    """The weights written as F32; then the file as it is, of which only differences and figures are kept."""
    from smollm2_llamacpp import as_f32

    with tempfile.NamedTemporaryFile(suffix=".gguf") as wide:
        as_f32(arguments.model, wide.name)
        evaluate(lm_eval_models.llama_model(wide.name, arguments.length), arguments, report)
    stored = {"backend": arguments.backend, "failures": [], "tasks": []}
    evaluate(lm_eval_models.llama_model(arguments.model, arguments.length), arguments, stored)
    report["as_stored"] = [{k: v for k, v in task.items() if k not in ("logprobs", "files")} for task in stored["tasks"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--backend", choices=("rwkv", "serve", "hf", "llama"), required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--tasks-data", type=pathlib.Path, required=True)
    parser.add_argument("--tasks", default=",".join(FILES))
    parser.add_argument("--shots", default="0", help="0, or 0,2 for both")
    parser.add_argument("--limit", type=int, default=50)
    parser.add_argument("--length", type=int, default=2048)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--resume", action="store_true", help="do only what --out lacks or has a failure of")
    arguments = parser.parse_args()
    import lm_eval

    report = {"harness": lm_eval.__version__, "model": pathlib.Path(arguments.model).name, "backend": arguments.backend,
              "length": arguments.length, "limit": arguments.limit, "failures": [], "tasks": []}
    if arguments.resume and arguments.out.exists():
        before = json.loads(arguments.out.read_text())
        if any(before[key] != report[key] for key in report if key not in ("failures", "tasks")):
            parser.error(f"{arguments.out} has other settings: it cannot be gone on with")
        report["tasks"] = [task for task in before["tasks"] if not any(
            failure.startswith(f"{task['task']} ({task['shots']} shots)") for failure in before["failures"])]
    if arguments.backend == "serve":
        os.environ.pop("OPENAI_API_KEY", None)
        with Server(arguments.program, arguments.model, "f32") as server:
            evaluate(lm_eval_models.served_model(server.url, arguments.length), arguments, report)
    elif arguments.backend == "llama":
        evaluate_gguf(arguments, report)
    else:
        load = {"rwkv": lm_eval_models.rwkv_model, "hf": lm_eval_models.hf_model}[arguments.backend]
        evaluate(load(arguments.model, arguments.length), arguments, report)
    report["tasks"].sort(key=lambda t: (t["shots"], list(FILES).index(t["task"])))
    report["documents"] = sum(t["documents"] for t in report["tasks"])
    if arguments.out:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n")
    for failure in report["failures"]:
        print("FAILED", failure, file=sys.stderr)
    print(f"{report['documents']} documents of {len(report['tasks'])} tasks, {len(report['failures'])} failures",
          file=sys.stderr)
    return 1 if report["failures"] else 0


if __name__ == "__main__":
    sys.exit(main())
