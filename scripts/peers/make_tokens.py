#!/usr/bin/env python3
"""Token ids of real texts for the races.  Standard library only.

    make_tokens.py world VOCABULARY.txt FOLDER OUT [--documents N]    one document a line, of FOLDER/*.json
    make_tokens.py random ROWS OUT [--count N] [--seed 1]             one line of random ids below ROWS

FOLDER holds JSON lists of strings (uncheatable_eval's data).  Every line begins with the document separator, id 0.
"""
import argparse
import glob
import json
import os
import random

import world_vocabulary


def world(arguments):
    encode = world_vocabulary.encoder(world_vocabulary.read(arguments.vocabulary))
    texts = []
    for path in sorted(glob.glob(os.path.join(arguments.folder, "*.json"))):
        with open(path, encoding="utf-8") as file:
            texts.append(json.load(file))
    # The categories take turns, so that the first N documents are a fair sample of all.
    turns = [part[i] for i in range(max(map(len, texts))) for part in texts if i < len(part)]
    for text in turns[: arguments.documents]:
        yield [0] + encode(text)


def chosen(arguments):
    generator = random.Random(arguments.seed)
    yield [0] + [generator.randrange(1, arguments.rows) for _ in range(arguments.count - 1)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(required=True)
    part = kinds.add_parser("world")
    part.add_argument("vocabulary")
    part.add_argument("folder")
    part.add_argument("out")
    part.add_argument("--documents", type=int)
    part.set_defaults(make=world)
    part = kinds.add_parser("random")
    part.add_argument("rows", type=int)
    part.add_argument("out")
    part.add_argument("--count", type=int, default=4096)
    part.add_argument("--seed", type=int, default=1)
    part.set_defaults(make=chosen)
    arguments = parser.parse_args()
    with open(arguments.out, "w") as out:
        for ids in arguments.make(arguments):
            out.write(" ".join(map(str, ids)) + "\n")


if __name__ == "__main__":
    main()
