#!/usr/bin/env python3
"""How evenly `--shard I/N` shares a corpus out, simulated from measured seconds.

  scripts/cluster/balance.py RUN [N…]        RUN: the directory of an unsharded run; default N: 2 4 8 16

Documents go longest first to the shard with the fewest bytes so far, as deciban's selection.h says; each shard then
takes the seconds that its documents took in RUN.  Prints for each N the slowest shard against the mean.
"""
import json
import pathlib
import sys


def shares(documents, count):
    loads, seconds = [0] * count, [0.0] * count
    for size, took in sorted(documents, key=lambda d: -d[0]):
        at = loads.index(min(loads))
        loads[at] += size
        seconds[at] += took
    return loads, seconds


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    rows = [json.loads(line) for line in open(pathlib.Path(sys.argv[1]) / "records.jsonl")]
    first = (rows[0]["model"], rows[0]["windowing"])
    documents = [(r["bytes"], r["seconds"]) for r in rows if (r["model"], r["windowing"]) == first]
    print(f"{len(documents)} documents, {sum(d[0] for d in documents)} bytes, {sum(d[1] for d in documents):.2f} s ({first[0]})")
    for count in [int(word) for word in sys.argv[2:]] or [2, 4, 8, 16]:
        loads, seconds = shares(documents, count)
        mean = sum(seconds) / count
        print(f"{count:3} shards: slowest {max(seconds) / mean - 1:+.1%} of the mean in seconds, "
              f"{max(loads) * count / sum(loads) - 1:+.2%} in bytes")


if __name__ == "__main__":
    main()
