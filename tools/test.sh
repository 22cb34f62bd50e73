#!/usr/bin/env bash
# Builds GradDB and runs every test. Does all its set-up; needs Debian and Swift 6.3.
#
#   ./tools/test.sh               everything, under 25 minutes on two cores from a clean clone
#   ./tools/test.sh --nightly     the long campaigns: ten times the kills and flipped bits, and the
#                                 unit tests' random cases ten times over, with fresh seeds; a
#                                 million random cases for every kernel variant; then six kinds
#                                 of input are fuzzed for an hour each
set -euo pipefail
cd "$(dirname "$0")/.."

export GRADDB_TEST_SCALE=1
for argument in "$@"; do
    case "$argument" in
    --nightly) export GRADDB_TEST_SCALE=10 ;;
    *)
        echo "test: unknown argument '$argument' (there is --nightly)" >&2
        exit 64
        ;;
    esac
done

# The kernels for AArch64 run in an emulator; without it their test is skipped.
emulator=()
[ "$(uname -m)" = aarch64 ] ||
    emulator=(qemu-user libc6-dev-arm64-cross libgcc-12-dev-arm64-cross)
tools/setup.sh python3 python3-numpy python3-pytest python3-venv --if-possible "${emulator[@]}"

# Tests that go on beside others, with what they say kept until they are waited for.
logs=$(mktemp -d)
trap 'for pid in "$logs"/*.pid; do [ ! -e "$pid" ] || kill -- -"$(cat "$pid")" 2>/dev/null || true; done; rm -rf "$logs"' EXIT
log=$logs/log
begin() { # NAME COMMAND …
    local name=$1
    shift
    # With job control: without it what runs in the background ignores Ctrl-C, of which there are tests.
    set -m
    "$@" >"$logs/$name" 2>&1 </dev/null &
    echo $! >"$logs/$name.pid"
    set +m
}
failed=0
finish() { # NAME TITLE
    echo "== $2 =="
    wait "$(cat "$logs/$1.pid")" || failed=1
    rm "$logs/$1.pid"
    cat "$logs/$1"
}
run_pytest() { /usr/bin/python3 -B -m pytest -q -rs -p no:cacheprovider "$@"; }

# Of the loops in C, for processors and GPUs: they build what they test, beside the build, which for
# the most part has one core's work. In a process of their own: NVIDIA's compiler changes its locale, and
# makes it large, which the processes that it starts then seem to be.
test_kernels() {
    tools/gpu/compile_kernels.py --install || echo "test: going on without NVIDIA's compiler" >&2
    run_pytest Tests/kernels Tests/gpu
}
begin kernels test_kernels

echo "== building (release, with tests) =="
swift build -c release --build-tests 2>&1 | tee "$log" | grep -E "error:|warning:|Build complete" || true
[ "${PIPESTATUS[0]}" -eq 0 ] || { tail -n 40 "$log"; exit 1; }
if grep -E "^$PWD/(Sources|Tests)/.*warning:" "$log"; then
    echo "test: the build gives warnings" >&2
    exit 1
fi

echo "== format =="
swift format lint --strict --recursive --parallel Sources Tests Package.swift

export GRADCTL=$PWD/.build/release/gradctl
# From here on several kinds of tests at a time: most of them wait for processes and disks more than they
# compute.
begin faults run_pytest Tests/faults

echo "== unit tests =="
for _ in $(seq "$GRADDB_TEST_SCALE"); do
    swift test -c release --skip-build 2>&1 | tee "$log" |
        grep -E "^✘|Test run with|recorded an issue" || true
    if [ "${PIPESTATUS[0]}" -ne 0 ]; then
        grep -A8 -E "recorded an issue|rror:" "$log" | tail -n 80
        exit 1
    fi
done

# They have built what stands in for GPUs in other tests.
finish kernels "kernels"

test_python() {
    GRADDB_LIBRARY=$PWD/.build/release/libgraddb.so tools/python/environment.sh
    .build/python/bin/python -B -m pytest -q -rs -p no:cacheprovider Tests/python
}
begin python test_python
# Every other file.
mapfile -t odd < <(printf '%s\n' Tests/blackbox/test_*.py | sed -n 'p;n')
mapfile -t even < <(printf '%s\n' Tests/blackbox/test_*.py | sed -n 'n;p')
begin odd run_pytest "${odd[@]}"
echo "== black-box tests =="
run_pytest "${even[@]}" Tests/queries Tests/reader Tests/demo || failed=1
finish odd "black-box tests, the other half"
finish faults "faults"
finish python "the Python package"
[ "$failed" -eq 0 ] || { echo "test: something failed, see above" >&2; exit 1; }

if [ "$GRADDB_TEST_SCALE" -ge 10 ]; then
    echo "== fuzzing =="
    status=0
    for target in block catalog safetensors npy archive backup-manifest; do
        tools/fuzz.sh "$target" 3600 || status=1
    done
    exit "$status"
fi
