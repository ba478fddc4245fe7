#!/usr/bin/env bash
# All benchmarks, on a release build. Arguments go to the relay benchmark (--only images, --rounds 5, …).
set -euo pipefail
cd "$(dirname "$0")/.."

for benchmark in codecs store; do
    SAFELIGHT_BENCHMARKS=1 swift build --quiet -c release --scratch-path .build-benchmarks --product "$benchmark-benchmark"
    ".build-benchmarks/release/$benchmark-benchmark"
done
scripts/build-release
scripts/install nginx-light wrk util-linux
python3 Benchmarks/relay/tenants.py --binary .build/release/safelight
exec python3 Benchmarks/relay/relay.py --binary .build/release/safelight "$@"
