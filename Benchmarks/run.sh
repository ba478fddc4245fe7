#!/usr/bin/env bash
# All benchmarks, on a release build. Arguments go to the relay benchmark (--only images, --rounds 5, …).
set -euo pipefail
cd "$(dirname "$0")/.."

SAFELIGHT_BENCHMARKS=1 swift build --quiet -c release --scratch-path .build-benchmarks --product codecs-benchmark
.build-benchmarks/release/codecs-benchmark
swift build --quiet -c release --product safelight
scripts/install nginx-light wrk util-linux
exec python3 Benchmarks/relay/relay.py --binary .build/release/safelight "$@"
