#!/usr/bin/env bash
# Builds the program for 64-bit ARM with Debian's cross compiler and runs its tests in an emulator.
#
#   scripts/aarch64.sh [STEP…]      default: sysroot build test eval
#
#   sysroot   ARM packages of Debian 12, unpacked in build/aarch64-sysroot; nothing of this system is touched
#   build     preset aarch64, in build/aarch64 (docs/aarch64.md says how to take it to another machine)
#   test      engine tests in qemu-aarch64, on a CPU with every kernel table and on one with NEON alone
#   eval      the demo's models by the emulated program and by the one of this machine: bits per byte must agree
#
# Needs g++-12-aarch64-linux-gnu, qemu-user, cmake, ninja-build and pkg-config; root installs what is missing.  $DECIBAN_MIRROR
# is where packages come from (default: http://deb.debian.org/debian); $DECIBAN_TEST_FILTER picks tests, $DECIBAN_CASE_STRIDE
# takes every 12th op case (the default) or fewer.  Ends with a summary; exits non-zero if anything
# failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
cd "$(pwd -P)"

sysroot=$PWD/build/aarch64-sysroot
build=build/aarch64
mirror=${DECIBAN_MIRROR:-http://deb.debian.org/debian}

host_packages=(g++-12-aarch64-linux-gnu qemu-user cmake ninja-build pkg-config)
# What scripts/setup.sh lists, less the tools and the microbenchmarks.
packages=(
  libc6-dev libfmt-dev libcli11-dev nlohmann-json3-dev libeigen3-dev libboost-dev
  libcurl4-openssl-dev libssl-dev libpugixml-dev libpcre2-dev libutf8proc-dev
  libzstd-dev liblzma-dev libbrotli-dev libbz2-dev libgumbo-dev libarchive-dev
  libgtest-dev libgmock-dev libcpp-httplib-dev
)

say() { printf 'aarch64: %s\n' "$*" >&2; }
die() {
  say "$*"
  exit 1
}
# Runs a command with its output in a log; shows the log's end if it fails.
logged() {
  local log=$1
  shift
  if ! "$@" >"$log" 2>&1 </dev/null; then
    tail -n 60 "$log" >&2
    die "failed: $* (all of its output: $log)"
  fi
}

install_host_packages() {
  local missing=() package
  for package in "${host_packages[@]}"; do
    dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing+=("$package")
  done
  [ "${#missing[@]}" -gt 0 ] || return 0
  [ "$(id -u)" -eq 0 ] || die "these packages are missing; please run as root: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  logged build/apt.log env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 update
  logged build/apt.log env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 install -y \
    --no-install-recommends "${missing[@]}"
}

# apt with lists, a cache and a (blank) list of installed packages of its own: it picks what the packages need and checks
# signatures, and neither reads nor writes this system's.
make_sysroot() {
  local stamp="$sysroot/packages" apt=$PWD/build/aarch64-apt
  if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "${packages[*]}" ]; then return; fi
  say "fetching ARM packages from $mirror"
  rm -rf "$sysroot"
  mkdir -p "$apt"/{lists/partial,archives/partial,sources} "$sysroot/usr/"{lib,bin,sbin}
  : >"$apt/status"
  local keys=/usr/share/keyrings/debian-archive-keyring.gpg
  printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$mirror" bookworm "$keys" "$mirror" bookworm-updates >"$apt/sources.list"
  local get=(
    apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures::=arm64 -o APT::Sandbox::User="$(id -un)"
    -o Dir::State="$apt" -o Dir::State::Lists="$apt/lists" -o Dir::State::status="$apt/status"
    -o Dir::Cache="$apt" -o Dir::Cache::archives="$apt/archives" -o Dir::Etc::sourcelist="$apt/sources.list"
    -o Dir::Etc::sourceparts="$apt/sources" -o Debug::NoLocking=true
  )
  logged "$apt/update.log" "${get[@]}" update
  logged "$apt/download.log" "${get[@]}" install --download-only -y --no-install-recommends "${packages[@]}"
  say "unpacking $(find "$apt/archives" -name '*.deb' | wc -l) packages in build/aarch64-sysroot"
  # One tree, as on an installed Debian, whose packages have files in both.
  ln -s usr/lib "$sysroot/lib"
  ln -s usr/bin "$sysroot/bin"
  ln -s usr/sbin "$sysroot/sbin"
  local archive
  for archive in "$apt"/archives/*.deb; do
    dpkg-deb --fsys-tarfile "$archive" |
      tar -C "$sysroot" -xf - --keep-directory-symlink --no-same-owner --exclude='./usr/share/doc*' --exclude='./usr/share/locale*'
  done
  # What is absolute there would point into this system.
  local link target
  find "$sysroot" -type l -lname '/*' | while read -r link; do
    target=$(readlink "$link")
    ln -sfn "$(realpath -m --relative-to="$(dirname "$link")" "$sysroot$target")" "$link"
  done
  rm -rf "$apt"
  printf '%s' "${packages[*]}" >"$stamp"
}

# Configures unless build.ninja is there; from then on ninja does so itself when CMake files change.
build_program() {
  local launcher=''
  if [ ! -f "$build/build.ninja" ]; then
    ! command -v ccache >/dev/null || launcher=ccache
    mkdir -p "$build"
    logged "$build/configure.log" cmake --preset aarch64 "-DDECIBAN_SYSROOT=$sysroot" \
      "-DCMAKE_C_COMPILER_LAUNCHER=$launcher" "-DCMAKE_CXX_COMPILER_LAUNCHER=$launcher"
  fi
  say "building in $build with $(nproc) cores"
  logged "$build/build.log" cmake --build "$build" --parallel "$(nproc)" --target deciban engine_tests deciban_plugins
}

summary=()
failed=no
# What an emulator cannot show: the system refuses to start an ARM program from within one, and the memory that it
# counts is the emulator's.  Slow tests and those of cards' stand-ins (a model of 0.1 B) would take an hour; of the
# comparisons bit by bit those of RWKV-7 are run, in a mode for each kind of product.
not_emulated='Slow*:*/Slow*:ExecModel*:MemoryUse*:FullMemory*:*/FullMemory*:CudaModule*:*NarrowModes*bigvocab*'
not_emulated+=':*Batching*rwkv4*:*Batching*rwkv5*:*Batching*rwkv6*:*Batching*_f16:*Batching*_bf16:*Batching*_int8'
not_emulated+=':*Batching*_int4g64'

# Tests of one emulated CPU, shared by all cores.
emulated_tests() { # CPU FILTER STRIDE
  local cpu=$1 filter=$2 stride=$3 share pids=() log="$build/tests-$1" code=0 begin=$SECONDS
  rm -f "$log".*
  for share in $(seq 0 $(($(nproc) - 1))); do
    GTEST_TOTAL_SHARDS=$(nproc) GTEST_SHARD_INDEX=$share DECIBAN_CASE_STRIDE=$stride DECIBAN_CUDA_MODULE=none \
      timeout 900 qemu-aarch64 -L "$sysroot" -cpu "$cpu" "$build/bin/engine_tests" --gtest_filter="$filter-$not_emulated" \
      --gtest_brief=0 >"$log.$share.log" 2>&1 </dev/null &
    pids+=($!)
  done
  for share in "${!pids[@]}"; do wait "${pids[$share]}" || code=$?; done
  cat "$log".*.log >"$log.log"
  local ran skipped broken
  ran=$(grep -c '^\[       OK \]' "$log.log" || true)
  skipped=$(grep -c '^\[  SKIPPED \].*ms)' "$log.log" || true)
  broken=$(grep -c '^\[  FAILED  \].*ms)' "$log.log" || true)
  [ "$ran" -gt 0 ] || code=1
  if [ "$code" -ne 0 ]; then
    failed=yes
    grep -B 30 '^\[  FAILED  \].*ms)' "$log.log" | tail -n 120 >&2 || tail -n 40 "$log.log" >&2
  fi
  summary+=("tests on $cpu: $ran passed, $broken failed, $skipped skipped, exit code $code, $((SECONDS - begin)) s ($log.log)")
}

run_tests() {
  # Tables neon, neon_dot and neon_bf16; then those that such a CPU lacks must not be offered.
  local stride=${DECIBAN_CASE_STRIDE:-12} few='*/OpCases*:KernelFunctions*:FindKernels*:RwkvModel.*Tables*'
  emulated_tests max "${DECIBAN_TEST_FILTER:-*}" "$stride"
  emulated_tests cortex-a76 "$few" $((5 * stride))
  emulated_tests cortex-a53 "$few" $((5 * stride))
}

# Bits per byte of a demo model on one text, by the program that COMMAND… runs.
bits_per_byte() { # MODEL MODE COMMAND…
  local model=$1 mode=$2
  shift 2
  "$@" eval -m "datasets/demo/$model" -c "$text" --mode "$mode" --no-compressors --format json \
    -o "$(mktemp -d "$build/eval/XXXXXX")" 2>>"$build/eval.log" </dev/null |
    python3 -c 'import json, sys; print(json.load(sys.stdin)[0]["bits_per_byte"])'
}

text=datasets/demo/texts/abstract.txt
run_eval() {
  local native=${DECIBAN_NATIVE:-build/release/bin/deciban} table mode allowed models model here there begin=$SECONDS wrong=0 count=0
  [ -x "$native" ] || scripts/setup.sh release deciban
  rm -rf "$build/eval"
  mkdir -p "$build/eval"
  : >"$build/eval.log"
  # f32 differs by the order of sums alone; what rounds inputs may round one the other way for that.
  while read -r table mode allowed models; do
    for model in $models; do
      there=$(DECIBAN_ISA=$table bits_per_byte "$model" "$mode" qemu-aarch64 -L "$sysroot" "$build/bin/deciban") ||
        die "the emulated eval of $model on $table in $mode failed ($build/eval.log)"
      here=$(bits_per_byte "$model" "$mode" "$native") || die "eval of $model in $mode failed ($build/eval.log)"
      count=$((count + 1))
      if ! python3 -c 'import sys; a, b, most = map(float, sys.argv[1:]); sys.exit(not abs(a - b) <= most)' \
        "$there" "$here" "$allowed"; then
        say "$model on $table in $mode: $there bits per byte, $here on this machine; at most $allowed apart are allowed"
        wrong=$((wrong + 1))
        failed=yes
      fi
      printf '%-8s %-10s %-6s %s  here %s\n' "$model" "$table" "$mode" "$there" "$here"
    done
  done <<'CASES'
neon f32 2e-6 rwkv4 rwkv7 gptneox llama
neon_dot int8a 2e-3 rwkv7
neon_bf16 bf16a 2e-3 rwkv7 llama
neon_bf16 int4 2e-5 rwkv7
CASES
  # Coded and decoded by the emulated program, the file must come back.
  local folder
  folder=$(mktemp -d)
  local program=(qemu-aarch64 -L "$sysroot" "$build/bin/deciban")
  head -c 600 "$text" >"$folder/text"
  if "${program[@]}" compress -m datasets/demo/rwkv7 "$folder/text" -o "$folder/coded" --no-claim >>"$build/eval.log" 2>&1 </dev/null &&
    "${program[@]}" decompress -m datasets/demo/rwkv7 "$folder/coded" -o "$folder/back" >>"$build/eval.log" 2>&1 </dev/null &&
    cmp -s "$folder/text" "$folder/back"; then
    summary+=("compress and decompress: the same 600 bytes came back from $(stat -c %s "$folder/coded")")
  else
    failed=yes
    summary+=("compress and decompress: failed ($build/eval.log)")
  fi
  rm -rf "$folder"
  summary+=("eval: $((count - wrong)) of $count figures agree with this machine's, $((SECONDS - begin)) s")
}

steps=("$@")
[ "${#steps[@]}" -gt 0 ] || steps=(sysroot build test eval)
for step in "${steps[@]}"; do
  case $step in
    sysroot | build | test | eval) ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' scripts/aarch64.sh
      exit 0
      ;;
    *)
      say "unknown step $step (known: sysroot, build, test, eval, --help)"
      exit 2
      ;;
  esac
done
mkdir -p build
for step in "${steps[@]}"; do
  case $step in
    sysroot) install_host_packages && make_sysroot ;;
    build) build_program ;;
    test) run_tests ;;
    eval) run_eval ;;
  esac
done
[ "${#summary[@]}" -eq 0 ] || printf '%s\n' "${summary[@]}"
[ "$failed" = no ]
