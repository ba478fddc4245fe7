#!/usr/bin/env bash
# Runs every fuzz target for a while against the parsers, with AddressSanitizer: Tests/Fuzz/run.sh [SECONDS] [TARGET...]
# What was found to be worth keeping stays in .build/fuzz/corpus; an input that fails is left in .build/fuzz/findings.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
seconds=${1:-60}
shift || true
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    targets=(ServerSentEventFuzz JSONFieldScannerFuzz JSONDocumentFuzz MultipartFuzz ByteRangeFuzz ForwardedFuzz
        RoutesFileFuzz SignedTokenFuzz)
fi

scratch=.build/fuzz
# Sources of other modules that a target has compiled into it: what lies below them is all that is built here.
declare -A sources=(
    [SignedTokenFuzz]="Sources/Tokens/Base64URL.swift Sources/Tokens/JWT/CompactJWS.swift Sources/Tokens/JWT/TokenClaims.swift"
)
# All but the configuration's need no more than these two; the gateway takes minutes to build.
parsers=(ImageGeneration StreamCodecs)
libraries=()
if [[ " ${targets[*]} " == *" RoutesFileFuzz "* ]]; then
    parsers+=(Gateway)
    libraries=(-lcurl -lz -lstdc++)
fi
for parser in "${parsers[@]}"; do
    swift build --configuration release --scratch-path "$scratch" --target "$parser" \
        --sanitize address -Xswiftc -sanitize=fuzzer -Xcc -fsanitize=fuzzer-no-link
done
products=$(swift build --configuration release --scratch-path "$scratch" --show-bin-path)

# The objects of what was built, and of the packages below it; nothing else has been built there.
mapfile -t objects < <(find "$products" -path '*.build/*' -name '*.o' | sort)
# Targets of one package see each other's `package` names; SwiftPM calls it after the checkout's folder.
package=$(basename "$PWD" | tr '[:upper:]' '[:lower:]' | sed 's/[^a-z0-9]/_/g')
maps=()
while read -r map; do
    maps+=(-Xcc "-fmodule-map-file=$map")
done < <(find "$products" Sources "$scratch/checkouts" -name module.modulemap -not -path '*-tool.build/*')

mkdir -p "$scratch/bin" "$scratch/findings" "$scratch/routes"
cp routes.json "$scratch/routes/"
for target in "${targets[@]}"; do
    swiftc -O -parse-as-library -swift-version 6 -sanitize=fuzzer,address -package-name "$package" -module-name "$target" \
        -enable-upcoming-feature InternalImportsByDefault -use-ld=lld -I "$products/Modules" "${maps[@]}" \
        Tests/Fuzz/FuzzInput.swift "Tests/Fuzz/$target.swift" ${sources[$target]-} "${objects[@]}" \
        ${libraries[@]+"${libraries[@]}"} -o "$scratch/bin/$target"
done

status=0
for target in "${targets[@]}"; do
    corpus=$scratch/corpus/$target
    mkdir -p "$corpus"
    seeds=()
    if [[ $target == RoutesFileFuzz ]]; then seeds+=("$scratch/routes"); fi
    if [[ $target == JSON* && -d ../shared/vectors/json ]]; then seeds+=(../shared/vectors/json); fi
    echo "== $target, $seconds s"
    "$scratch/bin/$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -verbosity=0 -print_funcs=0 -dict="Tests/Fuzz/$target.dict" \
        -artifact_prefix="$scratch/findings/$target-" "$corpus" ${seeds[@]+"${seeds[@]}"} || status=1
done
exit $status
