#!/usr/bin/env python3
"""Writes the same random weights as make_gguf.py (same seed) as an official .pth file.  Needs torch and numpy.

    make_pth.py rwkv7-0.1b|rwkv4-169m OUT.pth [--seed 1]
"""
import argparse

import random_weights
import torch


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape", choices=list(random_weights.SHAPES))
    parser.add_argument("out")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    state = {name: torch.from_numpy(values.copy()).bfloat16()
             for name, values in random_weights.tensors(arguments.shape, arguments.seed)}
    torch.save(state, arguments.out)


if __name__ == "__main__":
    main()
