#!/usr/bin/env python3
"""lm-eval against deciban, on the same requests (needs lm_eval; with --exec also torch and transformers).

    scripts/oracle/serve_lm_eval.py --deciban build/release/bin/deciban --model datasets/demo/rwkv7/model.pth \\
        --tasks ../shared/data/tasks --docs 40 --report docs/serve-lm-eval.json --golden tests/golden/serve

Three tasks (sciq, piqa, lambada_openai, from local JSON Lines under --tasks) and the requests of --golden go through
lm-eval's `local-completions` to `deciban serve`, and as tokens through `deciban eval --token-scores`.  The report has
the largest difference; --golden gets lm-eval's log-likelihoods of the requests that are our own.  With --exec MODEL
the same tokens are also scored by `exec:python3 plugins/transformers.py MODEL` and by --plugin, which must agree."""
import argparse, json, os, re, subprocess, sys, tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TASKS = {
    "sciq": ("validation.jsonl", {"output_type": "multiple_choice", "doc_to_target": 3,
        "doc_to_text": "{{support.lstrip()}}\nQuestion: {{question}}\nAnswer:",
        "doc_to_choice": "{{[distractor1, distractor2, distractor3, correct_answer]}}"}),
    "piqa": ("validation.jsonl", {"output_type": "multiple_choice", "doc_to_target": "label",
        "doc_to_text": "Question: {{goal}}\nAnswer:", "doc_to_choice": "{{[sol1, sol2]}}"}),
    "lambada_openai": ("test.jsonl", {"output_type": "loglikelihood",
        "doc_to_text": "{{text.split(' ')[:-1]|join(' ')}}", "doc_to_target": "{{' '+text.split(' ')[-1]}}"}),
}


class Server:
    """deciban serve on a free port, until the block ends."""

    def __init__(self, deciban, model, mode):
        command = [deciban, "serve", "-m", model, "--mode", mode, "--port", "0"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        for line in self.process.stderr:
            if found := re.search(r"http://[0-9.]+:[0-9]+", line):
                self.url = found[0]
                return
        raise SystemExit("deciban serve did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


def write_tasks(folder, data):
    for name, (file, task) in TASKS.items():
        split = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str((data / name / file).resolve())}},
                 "test_split": "test", "task": f"local_{name}", "metadata": {"version": 1}, **task}
        split["metric_list"] = [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}]
        (folder / f"local_{name}.yaml").write_text(json.dumps(split))  # JSON is YAML


def through_lm_eval(url, arguments, own):
    """[(task, context tokens, continuation tokens, log-likelihood, greedy)] as lm-eval asks and hears."""
    import lm_eval
    from lm_eval.api.instance import Instance
    from lm_eval.models.openai_completions import LocalCompletionsAPI
    from lm_eval.tasks import TaskManager

    heard = []

    class Listening(LocalCompletionsAPI):
        task = ""

        def _loglikelihood_tokens(self, requests, **kwargs):
            results = super()._loglikelihood_tokens(requests, **kwargs)
            heard.extend((self.task, list(ctx), list(cont), *result) for (_, ctx, cont), result in zip(requests, results))
            return results

    model = Listening(base_url=f"{url}/v1/completions", model="deciban", tokenizer_backend="remote", num_concurrent=4,
                      batch_size=4, max_retries=3, max_length=1 << 20)  # else it cuts requests
    with tempfile.TemporaryDirectory() as folder:
        write_tasks(Path(folder), arguments.tasks)
        manager = TaskManager(include_path=folder, include_defaults=False)
        for name in TASKS:
            model.task = name
            lm_eval.simple_evaluate(model=model, tasks=[f"local_{name}"], limit=arguments.docs, task_manager=manager,
                                    bootstrap_iters=0)
    model.task = "own"
    model.loglikelihood([Instance("loglikelihood", {}, tuple(pair), i) for i, pair in enumerate(own)])
    return heard


def through_eval(deciban, model, mode, requests):
    """The same tokens scored as documents: [(log-likelihood, greedy)] of each continuation."""
    with tempfile.TemporaryDirectory() as folder:
        corpus, run = Path(folder, "requests.jsonl"), Path(folder, "run")
        with corpus.open("w") as file:
            for i, (_, context, continuation, *_) in enumerate(requests):
                print(json.dumps({"id": str(i), "tokens": context + continuation}), file=file)
        subprocess.run([deciban, "eval", "-m", model, "--mode", mode, "-c", corpus, "-o", run, "--start", "none", "--window",
                        "whole", "--token-scores", "--no-compressors", "-q"], check=True, stdout=subprocess.DEVNULL)
        keys = {}
        for line in (run / "records.jsonl").read_text().splitlines():
            record = json.loads(line)
            keys.setdefault(record["key"], []).append(int(record["document"]))
        scores = subprocess.run([deciban, "info", run / "scores.bin"], check=True, capture_output=True, text=True).stdout
    results = [None] * len(requests)
    for line in scores.splitlines():
        document = json.loads(line)
        columns = document["queries"][0]
        for i in keys[document["key"]]:
            n = len(requests[i][2])
            assert columns["tokens"] == requests[i][1] + requests[i][2]
            results[i] = (sum(columns["logprob"][-n:]), columns["best"][-n:] == columns["tokens"][-n:])
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--deciban", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--mode", default="f32")
    parser.add_argument("--tasks", type=Path, required=True)
    parser.add_argument("--docs", type=int, default=40, help="of each task")
    parser.add_argument("--golden", type=Path, default=ROOT / "tests/golden/serve")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--exec", help="a Hugging Face model: transformers through exec:, against --plugin")
    parser.add_argument("--exec-length", type=int, default=1024, help="its context: requests are cut to their last tokens")
    parser.add_argument("--plugin", help="the same model through a plugin, such as plugin:transformer,model=DIR")
    arguments = parser.parse_args()

    own = json.loads((arguments.golden / "requests.json").read_text())["requests"]
    os.environ.pop("OPENAI_API_KEY", None)
    with Server(arguments.deciban, arguments.model, arguments.mode) as server:
        heard = through_lm_eval(server.url, arguments, own)
    scored = through_eval(arguments.deciban, arguments.model, arguments.mode, heard)
    report = {"model": Path(arguments.model).parent.name, "mode": arguments.mode, "tasks": {}}
    for name in [*TASKS, "own"]:
        pairs = [(h, s) for h, s in zip(heard, scored) if h[0] == name]
        report["tasks"][name] = {
            "requests": len(pairs), "tokens": sum(len(h[2]) for h, _ in pairs),
            "largest_difference": max(abs(h[3] - s[0]) for h, s in pairs),
            "greedy_differs": sum(h[4] != s[1] for h, s in pairs)}
    if arguments.exec and arguments.plugin:
        transformers = f"exec:{sys.executable} {ROOT}/plugins/transformers.py {arguments.exec}"
        cut = [(task, context[-(arguments.exec_length - len(continuation)):], continuation)
               for task, context, continuation, *_ in heard]
        a, b = (through_eval(arguments.deciban, m, "f32", cut) for m in (transformers, arguments.plugin))
        report["exec_against_plugin"] = {
            "model": Path(arguments.exec).name, "length": arguments.exec_length, "requests": len(a),
            "tokens": sum(len(c[2]) for c in cut), "largest_difference": max(abs(x[0] - y[0]) for x, y in zip(a, b)),
            "greedy_differs": sum(x[1] != y[1] for x, y in zip(a, b))}
    print(json.dumps(report, indent=1))
    if arguments.report:
        arguments.report.write_text(json.dumps(report, indent=1) + "\n")
    mine = [{"context": h[1], "continuation": h[2], "logprob": h[3], "greedy": bool(h[4])} for h in heard if h[0] == "own"]
    (arguments.golden / "lm_eval.json").write_text(json.dumps({"mode": arguments.mode, "requests": mine}, indent=1) + "\n")
    worst = max(task["largest_difference"] for task in report["tasks"].values())
    if worst > 1e-5:
        sys.exit(f"the largest difference is {worst}")
    # Two implementations in f32, of sums over many tokens.
    if "exec_against_plugin" in report and report["exec_against_plugin"]["largest_difference"] > 3e-4:
        sys.exit(f"exec: and the plugin differ by {report['exec_against_plugin']['largest_difference']}")


if __name__ == "__main__":
    main()
