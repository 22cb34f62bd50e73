#!/usr/bin/env bash
# Fuzzes one kind of input with libFuzzer: see Tests/fuzz/README.md. Ends with one line that says how
# much was tried, and with 1 where something was found.
#
#   tools/fuzz.sh TARGET [SECONDS]      60 seconds unless told; TARGET: see Tests/fuzz/README.md
#   tools/fuzz.sh TARGET FILE           runs one input, such as a reproducer
#   GRADDB_FUZZ_BUILT=1                 with what was built last
set -euo pipefail
cd "$(dirname "$0")/.."

target=${1:?"fuzz: which target? See Tests/fuzz/README.md"}
dictionary=Tests/fuzz/dictionaries/$target.dict
[ -f "$dictionary" ] || { echo "fuzz: no target '$target': see Tests/fuzz/README.md" >&2; exit 64; }
built=.build-fuzz
if [ -z "${GRADDB_FUZZ_BUILT:-}" ]; then
    # With the checkouts of the ordinary build, if there is one.
    if [ ! -d $built ] && [ -d .build/checkouts ]; then
        mkdir $built
        cp -a .build/checkouts .build/repositories .build/workspace-state.json $built/
    fi
    echo "fuzz: building (the first time takes minutes)"
    log=$(mktemp)
    GRADDB_FUZZ=1 swift build -c release --scratch-path $built --product fuzz >"$log" 2>&1 ||
        { tail -n 40 "$log"; rm -f "$log"; exit 1; }
    rm -f "$log"
fi

corpus=$built/corpus/$target found=$built/found seeds=$built/seeds/$target
mkdir -p "$corpus" "$found" "$seeds"
memory=${TMPDIR:-/tmp}
[ -w /dev/shm ] && memory=/dev/shm
TMPDIR=$(mktemp -d "$memory/graddb-fuzz.XXXXXX")
log=$(mktemp)
trap 'rm -rf "$TMPDIR" "$log"' EXIT
export TMPDIR GRADDB_FUZZ_TARGET=$target GRADDB_FUZZ_SEEDS=$seeds
# Swift's way to die would keep libFuzzer from seeing it.
export SWIFT_BACKTRACE=enable=no
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:handle_abort=0
limits=(-rss_limit_mb=2048 -malloc_limit_mb=1024 -timeout=20)
if [ -f "${2:-}" ]; then
    $built/release/fuzz "${limits[@]}" "$2"
    exit
fi

status=0
$built/release/fuzz "${limits[@]}" -max_total_time="${2:-60}" -dict="$dictionary" -max_len=16384 \
    -artifact_prefix="$found/$target-" -print_final_stats=1 \
    "$corpus" "$seeds" >"$log" 2>&1 </dev/null || status=$?
runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
speed=$(sed -n 's/^stat::average_exec_per_sec: *//p' "$log")
peak=$(sed -n 's/^stat::peak_rss_mb: *//p' "$log")
coverage=$(sed -n 's/.*cov: \([0-9]*\) .*/\1/p' "$log" | tail -n 1)
if [ "$status" -ne 0 ]; then
    tail -n 60 "$log"
    echo "fuzz: $target: found something: $(sed -n 's/.*Test unit written to //p' "$log")"
fi
echo "fuzz: $target: ${runs:-0} runs, ${speed:-0} a second, coverage ${coverage:-0}," \
    "at most ${peak:-?} MB, $([ "$status" -eq 0 ] && echo 0 || echo 1) crashes"
[ "$status" -eq 0 ] || exit 1
