#!/usr/bin/env bash
# Builds deciban if need be, scores the texts of datasets/demo with the four small models beside them, and measures what
# length costs a small RWKV-7 and a small transformer (about a minute on two cores).  The first run installs and
# builds (minutes); the next ones find their results in demo-run and only show them.
set -euo pipefail
started_in=$(pwd -P)
cd "$(dirname "${BASH_SOURCE[0]}")"
root=$(pwd -P)

scripts/setup.sh release deciban deciban_plugins

deciban=build/release/bin/deciban
models=datasets/demo
printf '\nTwelve short texts (datasets/demo/texts) under four byte-level models of 2.1 M parameters that read the same\nbytes in training: two RWKVs, a GPT-NeoX and a Llama. The transformers see 1024 bytes at most, so all four are\nfirst given equal windows; then each does its best. Beside them four compressors:\n\n'
"$deciban" eval -m "$models/rwkv7/model.pth" -m "$models/rwkv4/model.pth" -m "$models/gptneox" -m "$models/llama" \
  -c "$models/texts" --token-scores -o demo-run
printf '\nWhat length costs: two layers of RWKV-7 and of GPT-NeoX, both 512 wide with random weights, each point in a process\nof its own. RWKV-7 keeps a state of one size: its step and its memory stay as they are. Full attention looks back at\nall of a cache that grows with every token: its step grows as a + bT, reading a prompt as T\302\262.\n\n'
"$deciban" bench -m random:rwkv7-0.1b,layers=2,width=512,vocab=256 \
  -m random:pythia-70m,layers=2,vocab=256,context=16384 --label RWKV-7 --label GPT-NeoX \
  --threads 1 \
  -p 1k,2k,4k,6k,8k -n 2048 --min-runs 3 --min-time 0.1 --noise 5 --time-limit 4 -o demo-run
"$deciban" report demo-run -c "$models/texts" -o demo-run/report.html

printf '\nWhat to try next'
[ "$started_in" = "$root" ] || printf ' (in %s)' "$root"
cat <<END:

  $deciban eval -m $models/rwkv7/model.pth -c README.md -o runs/readme    # any text file, folder or JSONL
  $deciban eval -m YOUR-RWKV.pth -c $models/texts -o runs/mine            # any RWKV-4 to RWKV-7 checkpoint
  $deciban eval -m HF-DIR-OR-GGUF -c $models/texts -o runs/transformer    # GPT-2, Pythia, OPT, BLOOM, Llama, Qwen
  $deciban bench -m $models/rwkv7/model.pth -p 1k..64k -o runs/cost       # what length costs your model
  $deciban info $models/rwkv7/model.pth                                   # what a checkpoint is
END:
