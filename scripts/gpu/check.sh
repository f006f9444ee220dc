#!/usr/bin/env bash
# Checks and times deciban on this machine's GPU; needs the sources, and either a kit (scripts/gpu/kit.sh) or all that
# a build needs.  Everything together takes less than ten minutes.
#
#   scripts/gpu/check.sh [SECTION…] [--kit DIR] [--out DIR] [--filter GTEST_FILTER]
#
#   build      configure and build here, instead of taking a kit
#   tests      the tests on devices; no device is a failure
#   sanitize   a part of them under compute-sanitizer: memcheck, then racecheck
#   speed      scoring and decoding of the published shapes
#   peers      what others do on this machine (peers.py)
#
# Default: tests sanitize speed.  Results go to --out, else $OUT, else build/gpu-check: *.json and *.log; a short table
# comes last.  Exits non-zero if anything failed.
set -uo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd -P)
cd "$here" || exit 1

kit=build/gpu-kit out=${OUT:-build/gpu-check} filter='*' sections=()
while [ $# -gt 0 ]; do
  case $1 in
    build | tests | sanitize | speed | peers) sections+=("$1") && shift ;;
    --kit) kit=$2 && shift 2 ;;
    --out) out=$2 && shift 2 ;;
    --filter) filter=$2 && shift 2 ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/gpu/check.sh
      exit 0
      ;;
    *)
      printf 'check.sh: unknown word %s (known: build tests sanitize speed peers --kit --out --filter)\n' "$1" >&2
      exit 2
      ;;
  esac
done
[ ${#sections[@]} -gt 0 ] || sections=(tests sanitize speed)
mkdir -p "$out"
table=$out/table.txt
: >"$table"
failed=no
line() { printf '%-10s %-8s %s\n' "$1" "$2" "$3" | tee -a "$table"; }

# cuBLASLt: the loader's, the toolkit's, or that of Python's packages.
cublas_folder() {
  local folder
  if ldconfig -p 2>/dev/null | grep -q 'libcublasLt\.so\.'; then
    return
  fi
  for folder in "${CUDA_HOME:-/usr/local/cuda}"/lib64 "${CUDA_HOME:-/usr/local/cuda}"/targets/x86_64-linux/lib; do
    if compgen -G "$folder/libcublasLt.so.*" >/dev/null; then
      printf '%s' "$folder"
      return
    fi
  done
  python3 - <<'PY' 2>/dev/null
import glob, os, site, sys
for root in site.getsitepackages() + [site.getusersitepackages()] + sys.path:
    found = glob.glob(os.path.join(root, "nvidia", "**", "libcublasLt.so.*"), recursive=True)
    if found:
        print(os.path.dirname(sorted(found)[-1]), end="")
        break
PY
}

build_here() {
  if cmake --preset release -DDECIBAN_CUDA=ON -DDECIBAN_CUDA_ARCHITECTURES=90a >"$out/build.log" 2>&1 &&
    cmake --build build/release --parallel "$(nproc)" \
      --target deciban cuda_tests deciban_bench_cuda deciban_cuda plugin_transformer >>"$out/build.log" 2>&1; then
    kit=build/release
    line build ok "$(tail -n 1 "$out/build.log")"
  else
    failed=yes
    line build FAILED "see $out/build.log: $(grep -m 1 -iE 'error|not found' "$out/build.log")"
  fi
}

run_tests() {
  local start=$SECONDS status
  DECIBAN_REQUIRE_GPU=1 timeout 420 "$kit/bin/cuda_tests" --gtest_filter="$filter" \
    "--gtest_output=json:$out/tests.json" >"$out/tests.log" 2>&1 </dev/null
  status=$?
  if [ $status -eq 0 ]; then
    line tests ok "$(grep -E '^\[  PASSED' "$out/tests.log" | tail -n 1), $((SECONDS - start)) s"
  else
    failed=yes
    grep -B 1 -A 8 -E 'Failure$|: Failure' "$out/tests.log" | head -n 80
    line tests FAILED "exit $status, $(grep -cE '^\[  FAILED  \].*ms\)' "$out/tests.log") failed, $((SECONDS - start)) s"
    grep -E '^\[  FAILED  \] [A-Za-z]' "$out/tests.log" | sort -u | head -n 20
  fi
}

run_sanitizers() {
  local tool start status sanitizer
  sanitizer=$(command -v compute-sanitizer || printf '%s' "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer")
  for tool in memcheck racecheck; do
    start=$SECONDS
    DECIBAN_REQUIRE_GPU=1 DECIBAN_CASE_STRIDE=60 timeout 150 "$sanitizer" --tool "$tool" --error-exitcode 9 \
      "$kit/bin/cuda_tests" --gtest_filter='*CudaOpCases.AreWithin*:CudaProducts.*:*CudaDecode.AReplay*' \
      >"$out/$tool.log" 2>&1 </dev/null
    status=$?
    if [ $status -eq 0 ]; then
      line "$tool" ok "$(grep -E 'SUMMARY' "$out/$tool.log" | tail -n 1), $((SECONDS - start)) s"
    else
      failed=yes
      grep -E '^=========' "$out/$tool.log" | head -n 40
      line "$tool" FAILED "exit $status, $(grep -E 'SUMMARY' "$out/$tool.log" | tail -n 1), $((SECONDS - start)) s"
    fi
  done
}

# MODELS, then more options of the bench.
bench() {
  local name=$1
  shift
  timeout 200 "$kit/bin/deciban_bench_cuda" --json "$out/speed-$name.json" "$@" >"$out/speed-$name.log" 2>&1 </dev/null ||
    failed=yes
  sed -n 's/^/    /p' "$out/speed-$name.log" | tee -a "$table"
}

run_speed() {
  line speed '' "$(nvidia-smi --query-gpu=name,clocks.sm,temperature.gpu --format=csv,noheader 2>/dev/null | head -n 1)"
  bench small --model random:rwkv7-0.1b,random:rwkv4-169m --documents 64 --tokens 1024,4096 --batch 1,16,256
  bench middle --model random:rwkv7-1.5b,random:rwkv4-1.5b --documents 64 --tokens 1024 --batch 1,256 --repeats 2
  bench large --model random:rwkv7-7.2b,random:rwkv4-7b --documents 32 --tokens 1024 --batch 1 --repeats 1
  bench transformers --model random:pythia-160m,random:pythia-1.4b --documents 64 --tokens 1024,2048 --batch 1,16
  bench pythia-large --model random:pythia-6.9b --documents 32 --tokens 1024,2048 --batch 1 --repeats 2
  bench mixed --model random:rwkv7-0.1b --documents 256 --tokens 4096 --mixed yes --batch 0
  bench deterministic --model random:rwkv7-0.1b,random:rwkv7-1.5b --deterministic yes --documents 64 --tokens 1024 --batch 1
}

run_peers() {
  if timeout 400 python3 scripts/gpu/peers.py --wheel "$kit/wheels" --json "$out/peers.json" >"$out/peers.log" 2>&1; then
    line peers ok ''
  else
    failed=yes
    line peers FAILED "$(tail -n 1 "$out/peers.log")"
  fi
  sed -n 's/^/    /p' "$out/peers.log" | tail -n 30 | tee -a "$table"
  if timeout 200 python3 scripts/gpu/attention_peers.py --bench "$kit/bin/deciban_bench_cuda" \
    --json "$out/attention.json" >"$out/attention.log" 2>&1; then
    line attention ok ''
  else
    failed=yes
    line attention FAILED "$(tail -n 1 "$out/attention.log")"
  fi
  sed -n 's/^/    /p' "$out/attention.log" | tail -n 30 | tee -a "$table"
}

for section in "${sections[@]}"; do
  if [ "$section" = build ]; then
    build_here
  fi
done
if [ ! -x "$kit/bin/cuda_tests" ] && [ -f "$kit.tar.xz" ]; then
  tar -C "$(dirname "$kit")" -xJf "$kit.tar.xz"
fi
if [ ! -x "$kit/bin/cuda_tests" ]; then
  printf 'check.sh: no kit in %s: make one with scripts/gpu/kit.sh and bring it here, or say "check.sh build tests"\n' "$kit" >&2
  exit 1
fi
export DECIBAN_SOURCE_DIR=$here DECIBAN_PROGRAM=$here/$kit/bin/deciban
case $kit in /*) DECIBAN_PROGRAM=$kit/bin/deciban ;; esac
cublas=$(cublas_folder)
export LD_LIBRARY_PATH=$here/$kit/lib${cublas:+:$cublas}${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
case $kit in /*) LD_LIBRARY_PATH=$kit/lib${cublas:+:$cublas} ;; esac

printf '\n' >>"$table"
for section in "${sections[@]}"; do
  case $section in
    tests) run_tests ;;
    sanitize) run_sanitizers ;;
    speed) run_speed ;;
    peers) run_peers ;;
  esac
done

printf '\n== %s\n' "$(cat "$kit/commit" 2>/dev/null)"
cat "$table"
[ "$failed" = no ]
