#!/usr/bin/env python3
"""Trials of the speed gate on real code: a kernel slowed by so many per cent, and unchanged code.

  scripts/gate_trials.py BUILD [--trials 20] [--percent 10] [--rounds 20] [--cases REGEX] [--only slowed|unchanged]

BUILD is a built tree (build/release).  A copy of engine/cpu/cpu_ops.cc is made in which every matrix product waits at
its end for so many per cent of the time it took; it is compiled and linked with the build's own commands into a second
engine library, in a temporary folder.  Nothing in the source tree or the build changes, and the product has no such
switch.  Then `deciban gate ab` compares the two builds, and the build with a copy of itself, with a new seed each time.
Prints a line for each trial and the counts.
"""
import argparse
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time

SOURCE = "engine/cpu/cpu_ops.cc"
OPENING = re.compile(r"^void CpuOps::products\(std::span<const Product> calls\) \{$", re.M)
SLOWER = """
namespace { struct Slower {
  unsigned long long start = __builtin_ia32_rdtsc();
  ~Slower() {
    const unsigned long long end = __builtin_ia32_rdtsc(), until = end + (end - start) * PERCENT / 100;
    while (__builtin_ia32_rdtsc() < until) {
    }
  }
}; }
"""


def slowed_source(root, percent):
    text = (root / SOURCE).read_text()
    found = OPENING.search(text)
    if not found:
        sys.exit(f"{SOURCE}: no definition of CpuOps::products(); this script has to follow the code")
    text = text[: found.end()] + "\n  const Slower slower;" + text[found.end():]
    namespace = re.search(r"^namespace deciban", text, re.M).start()
    return text[:namespace] + SLOWER.replace("PERCENT", str(percent)) + text[namespace:]


def make_side(build, folder, library=None):
    """A program with an engine library of its own, in a folder; returns what runs it."""
    (folder / "lib").mkdir(parents=True)
    shutil.copy2(build / "bin/deciban", folder / "program")
    shutil.copy2(library or build / "lib/libdeciban_engine.so", folder / "lib/libdeciban_engine.so")
    runner = folder / "deciban"
    runner.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={shlex.quote(str(folder / "lib"))} exec '
                      f'{shlex.quote(str(folder / "program"))} "$@"\n')
    runner.chmod(0o755)
    return runner


def slowed_library(root, build, percent, folder):
    commands = json.loads((build / "compile_commands.json").read_text())
    command = next(c for c in commands if pathlib.Path(c["file"]).resolve() == (root / SOURCE).resolve())
    source, compiled = folder / "cpu_ops.cc", folder / "cpu_ops.o"
    source.write_text(slowed_source(root, percent))
    words = shlex.split(command["command"])
    old = words[words.index("-o") + 1]
    words[words.index("-o") + 1] = str(compiled)
    words = [str(source) if w == command["file"] else w for w in words]
    if "-MF" in words:
        words[words.index("-MF") + 1] = str(folder / "cpu_ops.d")
    subprocess.run(words, cwd=command["directory"], check=True)
    link = subprocess.run(["ninja", "-C", str(build), "-t", "commands", "lib/libdeciban_engine.so"], check=True,
                          capture_output=True, text=True).stdout.strip().splitlines()[-1]
    library = folder / "libdeciban_engine.so"
    link = link.replace(old, shlex.quote(str(compiled))).replace("-o lib/libdeciban_engine.so", f"-o {library}")
    subprocess.run(link, shell=True, cwd=build, check=True)
    return library


def trial(number, kind, old, new, options):
    start = time.time()
    done = subprocess.run(
        [old, "gate", "ab", old, new, "--rounds", str(options.rounds), "--seed", str(number), "--cases", options.cases,
         "--format", "json", "-q"], capture_output=True, text=True)
    if done.returncode not in (0, 4):
        sys.exit(f"gate ab ended with {done.returncode}: {done.stderr}")
    rows = json.loads(done.stdout)
    products = [r for r in rows if r["case"].startswith("linear")]
    others = [r for r in rows if r not in products]

    def words(group):
        return " ".join(f"{v}:{sum(r['verdict'] == v for r in group)}" for v in ("slower", "unclear", "same", "faster"))

    print(f"{kind} {number}: exit {done.returncode}; products {words(products)}; others {words(others)}; "
          f"{time.time() - start:.1f} s", flush=True)
    return done.returncode, products, others


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--first", type=int, default=1, help="seed of the first trial, to go on with more")
    parser.add_argument("--percent", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--cases", default=r"^linear 64x384x384|^(wkv7|norm_mix|embed|wkv4) 64x")
    parser.add_argument("--only", choices=["slowed", "unchanged"])
    options = parser.parse_args()
    build, root = options.build.resolve(), pathlib.Path(__file__).resolve().parent.parent
    os.environ.pop("DECIBAN_ISA", None)
    with tempfile.TemporaryDirectory(prefix="gate-trials-") as name:
        folder = pathlib.Path(name)
        base = make_side(build, folder / "base")
        sides = {"unchanged": lambda: make_side(build, folder / "unchanged"),
                 "slowed": lambda: make_side(build, folder / "slowed",
                                             slowed_library(root, build, options.percent, folder))}
        for kind, make in sides.items():
            if options.only not in (None, kind):
                continue
            other = make()
            results = [trial(i, kind, base, other, options)
                       for i in range(options.first, options.first + options.trials)]
            alarms = sum(code == 4 for code, _, _ in results)
            found = sum(r["verdict"] == "slower" for _, products, _ in results for r in products)
            wrong = sum(r["verdict"] == "slower" for _, _, others in results for r in others)
            print(f"{kind}: {alarms} of {len(results)} runs end with exit code 4; called slower: {found} of "
                  f"{sum(len(p) for _, p, _ in results)} products, {wrong} of {sum(len(o) for _, _, o in results)} "
                  f"other cases", flush=True)


if __name__ == "__main__":
    main()
