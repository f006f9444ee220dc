#!/usr/bin/env python3
"""What sharing the beginnings of requests gains: a task with and without it, and whether all results are the same.

  task_sharing.py build/release/bin/deciban MODEL --tasks-data DIR [--tasks arc_easy,mmlu] [--shots 0] [--limit 100]

Prints, for each task, the ratio of tokens read, the ratio of seconds (the best of --repeats runs each), and the first
divided by the second.  Ends with 1 if a log-probability differs in a bit.
"""
import argparse
import csv
import io
import json
import pathlib
import subprocess
import sys
import tempfile


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("model")
    parser.add_argument("--tasks-data", required=True)
    parser.add_argument("--tasks", default="arc_easy,mmlu")
    parser.add_argument("--shots", default="0")
    parser.add_argument("--limit", default="100")
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--option", action="append", default=[], help="a further word for deciban eval")
    arguments = parser.parse_args()
    worst = 0
    for task in arguments.tasks.split(","):
        common = [arguments.program, "eval", "-q", "-m", arguments.model, "-t", task, "--tasks-data", arguments.tasks_data,
                  "--shots", arguments.shots, "--limit", arguments.limit, "--task-mode", "rnn"] + arguments.option
        counts = subprocess.run(common + ["--dry-run", "--format", "csv"], check=True, capture_output=True, text=True)
        rows = list(csv.DictReader(io.StringIO(counts.stdout)))
        tokens = sum(int(row["tokens"]) for row in rows)
        read = sum(int(row["read_tokens"]) for row in rows)
        seconds, results = {}, {}
        for repeat in range(arguments.repeats):
            for sharing in (True, False):
                with tempfile.TemporaryDirectory() as folder:
                    subprocess.run(common + ["-o", folder] + ([] if sharing else ["--no-sharing"]), check=True,
                                   stdout=subprocess.DEVNULL)
                    records = [json.loads(line) for line in pathlib.Path(folder, "records.jsonl").open()]
                # A document's seconds are its share of the run's.
                took = sum(record["seconds"] for record in records)
                seconds[sharing] = min(seconds.get(sharing, took), took)
                results[sharing] = sorted((r["key"], [q["logprob"] for q in r["queries"]]) for r in records)
        same = results[True] == results[False]
        worst |= not same
        gain, ratio = seconds[False] / seconds[True], tokens / read
        print(f"{task} ({arguments.shots} shots): {len(results[True])} documents, {tokens} tokens, read {read}; "
              f"ratio of tokens {ratio:.2f}, of seconds {gain:.2f} ({seconds[False]:.2f} s → {seconds[True]:.2f} s), "
              f"{gain / ratio:.2f} of it; log-probabilities {'identical' if same else 'DIFFER'}")
    return worst


if __name__ == "__main__":
    sys.exit(main())
