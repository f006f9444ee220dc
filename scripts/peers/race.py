#!/usr/bin/env python3
"""Races deciban against its peers on this machine and writes what it measured.

    race.py [--only WORD…] [--pairs 9] [--libraries build/release/lib] [--out docs/peers-cpu.json] [--list]

Builds what is missing (build_peers.py).  Both engines of a race are loaded and warm before the first measurement; then
they take turns, peer, ours, peer, ours, and each pair gives one ratio.  Printed: median rates and the median of the
ratios with its bootstrap 95 % interval, by wall clock and by processor time over threads (which other programs of the
machine disturb less, but which also counts waiting in a spin).  --out joins the races it ran to those in the file.
Run it with a Python that has torch and numpy (/usr/bin/python3 on Debian).
"""
import argparse
import datetime
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys

import build_peers
from races import RACES, job


class Engine:
    """One driver process; see llama/llama_score.cc for what it understands."""

    def __init__(self, command, environment=None):
        self.command = command
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        env={**os.environ, **(environment or {})}, stderr=subprocess.DEVNULL)
        self.about = self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(self.command)} ended early; run it by hand to see why")
        return json.loads(line)

    def ask(self, question):
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        return self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def bootstrap(values, draws=10000):
    """95 % interval of the median by resampling the pairs; seeded, so that a file can be checked."""
    generator = random.Random(1)
    medians = sorted(statistics.median(generator.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(0.025 * draws)], medians[int(0.975 * draws)]


def ratio(ours, peer):
    pairs = [a / b for a, b in zip(ours, peer)]
    low, high = bootstrap(pairs)
    return {"median": round(statistics.median(pairs), 3), "low": round(low, 3), "high": round(high, 3)}


def load():
    return [round(x, 2) for x in os.getloadavg()]


class Side:
    """One engine's share of a race."""

    def __init__(self, spec, context):
        self.spec = spec
        self.engine = Engine(*context.command(spec))
        self.wall, self.processor, self.logprob = [], [], None

    def turn(self, keep=True):
        reply = self.engine.ask(self.spec["ask"])
        if keep:
            self.wall.append(reply["tokens"] / reply["seconds"])
            self.processor.append(reply["tokens"] / (reply["processor"] / self.spec["threads"]))
            self.logprob = reply.get("logprob")

    def result(self):
        peak = self.engine.ask("memory")["peak_mib"]
        self.engine.close()
        out = {"engine": self.spec["engine"], "ask": self.spec["ask"], "threads": self.spec["threads"],
               "setting": self.spec["setting"],
               "tokens_per_second": round(statistics.median(self.wall), 2),
               "tokens_per_second_range": [round(min(self.wall), 2), round(max(self.wall), 2)],
               "tokens_per_processor_second_and_thread": round(statistics.median(self.processor), 2),
               "peak_mib": round(peak, 1)}
        for key in ("chunk", "blas", "kernels", "format"):
            value = self.spec.get(key) or self.engine.about.get(key)
            if value:
                out[key] = value
        if self.logprob is not None:
            out["logprob"] = self.logprob
        return out


class Context:
    """Commands of engines; tunes llama.cpp's tokens per call once for each of its files."""

    def __init__(self, arguments):
        self.peers = build_peers.Peers(arguments.work)
        self.libraries = os.path.abspath(arguments.libraries)
        self.vocabulary = os.path.join(build_peers.shared_folder(), build_peers.VOCABULARY)
        self.pile_tokenizer = os.path.join(build_peers.shared_folder(), "data/tokenizers/20B_tokenizer.json")
        self.priority = ["nice", "-n", str(arguments.nice)] if arguments.nice else []
        self.chunks = {}

    def command(self, spec):
        """(argv, environment) of the engine of one side."""
        threads, tokens = str(spec["threads"]), self.peers.random_ids()
        if spec["engine"] == "deciban":
            argv = [self.peers.deciban(self.libraries), self.peers.model(*spec["model"]), tokens, "--format",
                    spec["setting"], "--threads", threads, "--tokenizer",
                    self.pile_tokenizer if spec["model"][0] == "rwkv4-169m" else self.vocabulary]
            environment = {"DECIBAN_ISA": spec["isa"]} if "isa" in spec else {}
        elif spec["engine"] == "llama.cpp":
            argv = [self.peers.llama(spec.get("isa", "native")), self.peers.model(*spec["model"]), tokens,
                    "--threads", threads, "--sequences", str(spec.get("sequences", 1))]
            if spec["ask"].startswith(("score", "logits")):
                spec["chunk"] = spec.get("chunk") or self.best_chunk(spec, argv)
                argv += ["--chunk", str(spec["chunk"])]
            environment = {}
        elif spec["engine"] == "rwkv.cpp":
            argv = [self.peers.rwkvcpp(), self.peers.model(*spec["model"]), tokens, "--threads", threads]
            environment = {}
        else:
            argv = [sys.executable, os.path.join(build_peers.HERE, "torch_score.py"), self.peers.model(*spec["model"]),
                    tokens, "--threads", threads, "--strategy", spec["setting"]]
            if spec["model"][0].startswith("rwkv7"):
                argv.append("--rwkv7")
            environment = {"PYTHONPATH": self.peers.rwkv_package(), "OMP_WAIT_POLICY": "passive"}
            if "blas" in spec:
                environment["OPENBLAS_CORETYPE"] = spec["blas"]
        return self.priority + argv, environment

    def best_chunk(self, spec, argv):
        """The number of tokens a call that scores fastest, of 64 … T."""
        length = int(spec["ask"].split()[1])
        key = (spec["model"], spec.get("isa"), length)
        if key not in self.chunks:
            rates = {}
            for chunk in [n for n in (64, 128, 256, 512, 1024) if n <= length]:
                engine = Engine(self.priority + argv + ["--chunk", str(chunk)])
                replies = [engine.ask(spec["ask"]) for _ in range(4)][1:]
                rates[chunk] = max(r["tokens"] / r["processor"] for r in replies)
                engine.close()
            self.chunks[key] = max(rates, key=rates.get)
            build_peers.say(f"  llama.cpp {spec['setting']}: {rates}, takes {self.chunks[key]} tokens a call")
        return self.chunks[key]


def race(name, what, peer, ours, context, pairs):
    before = load()
    sides = Side(dict(peer), context), Side(dict(ours), context)
    for _ in range(2):
        for side in sides:
            side.turn(keep=False)
    for _ in range(pairs):
        for side in sides:
            side.turn()
    results = [side.result() for side in sides]
    out = {"what": what, "pairs": pairs, "load_average": [before, load()], "peer": results[0], "ours": results[1],
           "ratio": ratio(sides[1].wall, sides[0].wall),
           "ratio_processor": ratio(sides[1].processor, sides[0].processor)}
    logprobs = [side.logprob for side in sides]
    if None not in logprobs and peer["ask"] == ours["ask"]:
        out["logprob_relative_difference"] = float(f"{abs(logprobs[1] / logprobs[0] - 1):.2e}")
    show(name, out)
    return out


def show(name, r):
    text = f"{name:34} {r['peer']['tokens_per_second']:9.1f} {r['ours']['tokens_per_second']:9.1f} tok/s"
    for key in ("ratio", "ratio_processor"):
        text += f"   {r[key]['median']:5.2f} [{r[key]['low']:.2f}, {r[key]['high']:.2f}]"
    print(text + f"   load {r['load_average'][0][0]} … {r['load_average'][1][0]}", flush=True)


def machine():
    text = open("/proc/cpuinfo", encoding="ascii", errors="replace").read()
    field = {key: re.search(rf"^{key}\s*: (.*)$", text, re.M).group(1) for key in ("model name", "cpu family", "model", "flags")}
    wanted = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16")
    return {"cpu": field["model name"], "family": int(field["cpu family"]), "model": int(field["model"]),
            "cores": os.cpu_count(), "features": [f for f in wanted if f in field["flags"].split()],
            "kernel": platform.release()}


def versions(context, arguments):
    def line(*command):
        return subprocess.run(command, capture_output=True, text=True, cwd=build_peers.ROOT).stdout.splitlines()[0]
    import torch
    name = next((n for n in os.listdir(context.peers.rwkv_package()) if n.startswith("rwkv-")), "rwkv")
    return {"deciban": arguments.commit or line("git", "describe", "--always", "--dirty", "--abbrev=12"),
            "llama.cpp": context.peers.llama_version() + " (PyPI)", "torch": torch.__version__, "rwkv": name.removesuffix(".dist-info"),
            "compiler": line("g++", "--version"), "python": platform.python_version()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], help="races whose names contain one of these")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--work", default="/tmp/deciban-peers")
    parser.add_argument("--libraries", default=os.path.join(build_peers.ROOT, "build/release/lib"))
    parser.add_argument("--commit", help="what to record as deciban's version; git describe")
    parser.add_argument("--nice", type=int, default=0, help="priority of the engines (-10 needs root)")
    parser.add_argument("--out", default=os.path.join(build_peers.ROOT, "docs/peers-cpu.json"))
    parser.add_argument("--documents", type=int, nargs=2, default=(30, 300), metavar=("PEER", "OURS"),
                        help="documents that the job race times")
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    chosen = [r for r in RACES + [("job", "the uncheatable job", None, None)]
              if not arguments.only or any(word in r[0] for word in arguments.only)]
    if arguments.list:
        print("\n".join(f"{name:34} {what}" for name, what, *_ in chosen))
        return
    context = Context(arguments)
    result = {"races": {}}
    if os.path.exists(arguments.out):
        with open(arguments.out) as file:
            result = json.load(file)
    print(f"{'':34} {'peer':>9} {'ours':>9}         ratio (wall)         ratio (processor)")
    for name, what, peer, ours in chosen:
        if name == "job":
            found = job(context, Engine, arguments.documents)
            print(f"{name:34} {found['peer']['tokens_per_second']:9.1f} {found['ours']['tokens_per_second']:9.1f} tok/s"
                  f"   {found['ratio']:5.2f}", flush=True)
        else:
            found = race(name, what, peer, ours, context, arguments.pairs)
        found["date"] = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        found["versions"] = versions(context, arguments)
        found["machine"] = machine()
        result["races"][name] = found
        with open(arguments.out + ".part", "w") as file:
            json.dump(result, file, indent=1, sort_keys=True)
            file.write("\n")
        os.replace(arguments.out + ".part", arguments.out)


if __name__ == "__main__":
    main()
