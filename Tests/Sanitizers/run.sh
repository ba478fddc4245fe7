#!/usr/bin/env bash
# The Swift tests under a sanitizer: run.sh address|thread [filter]. Ends with 1 when a test fails or the sanitizer reports anything.
set -euo pipefail
cd "$(dirname "$0")/../.."

kind=${1:?address or thread}
filter=${2:-}
scratch=.build-$kind
log=$scratch/sanitizer.log
suppressions=$PWD/Tests/Sanitizers/$kind.supp

swift build --quiet --build-tests --sanitize="$kind" --scratch-path "$scratch"
# detect_leaks: libcurl and Foundation keep what they allocate once. halt_on_error: one finding must not hide the next.
export ASAN_OPTIONS=detect_leaks=0:suppressions=$suppressions
export TSAN_OPTIONS=halt_on_error=0:suppressions=$suppressions
preload=
if [ "$kind" = thread ]; then
    preload=$PWD/$scratch/mutex.so
    clang -O1 -g -shared -fPIC -o "$preload" Tests/Sanitizers/mutex.c
fi
status=0
LD_PRELOAD=$preload swift test --skip-build --sanitize="$kind" --scratch-path "$scratch" ${filter:+--filter "$filter"} >"$log" 2>&1 || status=$?
reports=$(grep -cE '^(WARNING: ThreadSanitizer|==[0-9]+==ERROR: AddressSanitizer)' "$log" || true)
grep -E 'Test run with' "$log" | tail -n 1 || true
echo "$kind sanitizer: $reports reports"
if [ "$status" != 0 ] || [ "$reports" != 0 ]; then
    grep -nE -A 12 '^(WARNING: ThreadSanitizer|==[0-9]+==ERROR: AddressSanitizer)|✘' "$log" | head -n 120 >&2
    exit 1
fi
