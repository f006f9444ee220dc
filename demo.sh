#!/usr/bin/env bash
# Builds deciban if need be and scores the texts of datasets/demo with the two small models beside them.  The first run
# installs and builds (minutes); the next ones find their results in demo-run and only show them.
set -euo pipefail
started_in=$(pwd -P)
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(pwd -P)

scripts/setup.sh release deciban

deciban=build/release/bin/deciban
models=datasets/demo
printf '\nTwelve short texts (datasets/demo/texts) under two byte-level models of 2.1 M parameters, beside xz and zstd:\n\n'
"$deciban" eval -m "$models/rwkv7/model.pth" -m "$models/rwkv4/model.pth" -c "$models/texts" --token-scores -o demo-run
"$deciban" report demo-run -c "$models/texts" -o demo-run/report.html

printf '\nWhat to try next'
[ "$started_in" = "$root" ] || printf ' (in %s)' "$root"
cat <<END:

  $deciban eval -m $models/rwkv7/model.pth -c README.md -o runs/readme    # any text file, folder or JSONL
  $deciban eval -m YOUR-RWKV.pth -c $models/texts -o runs/mine            # any RWKV-4 to RWKV-7 checkpoint
  $deciban info $models/rwkv7/model.pth                                   # what a checkpoint is
END:
