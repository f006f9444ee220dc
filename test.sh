#!/usr/bin/env bash
# Builds everything with warnings as errors and runs all tests, then once more under AddressSanitizer and
# UndefinedBehaviorSanitizer.
#
#   ./test.sh             all of it
#   ./test.sh --no-asan   without the sanitizers' build
#   ./test.sh --quick     without the sanitizers' build and without slow tests
#
# Slow tests are those whose suite or own name begins with "Slow"; the sanitizers' run leaves them out too.
# Exits non-zero if anything fails; the closing lines are those of ctest.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

sanitizers=yes
quick=no
for word in "$@"; do
  case $word in
    --no-asan) sanitizers=no ;;
    --quick) quick=yes sanitizers=no ;;
    -h | --help)
      sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$(basename "${BASH_SOURCE[0]}")"
      exit 0
      ;;
    *)
      printf 'test.sh: unknown word %s (known: --quick, --no-asan, --help)\n' "$word" >&2
      exit 2
      ;;
  esac
done

# Several tests run at once and each may use threads: waiting threads must sleep, not spin.
export OMP_WAIT_POLICY=passive
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1:strict_string_checks=1}

failed=no
failures() { sed -n '/^The following tests FAILED:/,/^Errors while/p' "$1" | grep -v '(Skipped)' || true; }
# Tests that fail beside others are run again alone, one after the other: on a busy machine a server's start or a
# browser's can be late.  What passes then is named all the same; what fails again fails the run.
run() {
  local preset=$1
  shift
  scripts/setup.sh "$preset"
  printf '\n== tests, preset %s\n' "$preset"
  rm -f "build/$preset/again.log"
  ctest --preset "$preset" --parallel "$(nproc)" "$@" 2>&1 </dev/null | tee "build/$preset/test.log" && return
  printf '\n== once more, alone\n'
  ctest --preset "$preset" --rerun-failed 2>&1 </dev/null | tee "build/$preset/again.log" || failed=yes
}

slow='[./]Slow'
case $quick in
  yes) run ci --exclude-regex "$slow" ;;
  no) run ci ;;
esac
[ "$sanitizers" = no ] || run asan --exclude-regex "$slow"

printf '\n'
for preset in ci asan; do
  [ "$preset" != asan ] || [ "$sanitizers" = yes ] || continue
  if [ "$preset" = ci ]; then printf 'release build, warnings as errors:\n'; else printf 'AddressSanitizer and UBSan:\n'; fi
  grep -E '^([0-9]+% tests passed|No tests were found)' "build/$preset/test.log" || true
  if [ -f "build/$preset/again.log" ]; then
    failures "build/$preset/test.log"
    printf 'these once more, alone: '
    grep -E '^[0-9]+% tests passed' "build/$preset/again.log" || true
    failures "build/$preset/again.log"
    grep -hE 'Failure$|^Expected|^  Actual|^Value of|Which is|error:' "build/$preset/test.log" | head -n 30 || true
  fi
done
if [ "$failed" = yes ]; then
  printf 'FAILED\n'
  exit 1
fi
