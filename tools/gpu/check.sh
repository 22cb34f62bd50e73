#!/usr/bin/env bash
# Checks and measures GradDB on a machine with an NVIDIA GPU: every kernel and whole scans against the
# processor, to the bit; then the GPU's limits, scans beside them, and PyTorch and FAISS where they are
# installed. Ends with a short table and a JSON file, from which tools/gpu/report.py makes
# docs/benchmarks/gpu.md.
#
#   tools/gpu/check.sh [OPTIONS]      with the gradctl of this checkout (swift build -c release)
#   tools/gpu/check.sh --pack FILE    writes FILE: this script with gradctl and its libraries in it. It
#                                     runs on a machine that has a driver and bash, and nothing else:
#   bash FILE [OPTIONS]
#
#   --device gpu:N    which GPU (default: gpu:0); staged: a rehearsal in host memory, without a GPU
#   --cases N         random inputs of each kernel (default: 500)
#   --seconds S       about how long is measured (default: 60)
#   --rows N          rows of the int8 table that is measured (default: 52000), --dims N its dimensions
#                     (default: 65536)
#   --json FILE       where the result goes (default: graddb-gpu-check.json)
#   --no-peers        without PyTorch and FAISS
#
# Ends with 0 where all is the same as the processor's, whatever the speeds; 1 where anything differs
# or fails; 64 for wrong options.
set -euo pipefail

device=gpu:0 cases=500 seconds=60 json=graddb-gpu-check.json pack= peers=1 rows=52000 dims=65536
self=${BASH_SOURCE[0]}
while [ $# -gt 0 ]; do
    case "$1" in
    --no-peers) peers= ;;
    --pack | --device | --cases | --seconds | --json | --rows | --dims)
        [ $# -ge 2 ] || { echo "check: $1 takes a value" >&2; exit 64; }
        case "$1" in
        --pack) pack=$2 ;;
        --device) device=$2 ;;
        --cases) cases=$2 ;;
        --seconds) seconds=$2 ;;
        --json) json=$2 ;;
        --rows) rows=$2 ;;
        --dims) dims=$2 ;;
        esac
        shift
        ;;
    -h | --help) sed -n '2,/^set -/{/^set -/d;s/^# \{0,1\}//;p}' "$self"; exit 0 ;;
    *) echo "check: unknown option '$1' (see --help)" >&2; exit 64 ;;
    esac
    shift
done

# What the machine that checks has of its own: too close to its kernel to be carried, unless it is older.
is_system() {
    case "$1" in
    ld-linux* | libc.so* | libm.so* | libdl.so* | libpthread.so* | librt.so* | libresolv.so* | libutil.so*) return 0 ;;
    *) return 1 ;;
    esac
}

if [ -n "$pack" ]; then
    cd_root=$(cd "$(dirname "$self")/../.." && pwd)
    gradctl=$cd_root/.build/release/gradctl
    [ -x "$gradctl" ] || { echo "check: there is no $gradctl: swift build -c release" >&2; exit 1; }
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    mkdir "$work/bin" "$work/lib" "$work/system"
    strip -o "$work/bin/gradctl" "$gradctl"
    cp "$cd_root/tools/gpu/peers.py" "$work/"
    git -C "$cd_root" describe --always --dirty >"$work/version" 2>/dev/null || echo unknown >"$work/version"
    while read -r name path; do
        if is_system "$name"; then cp -L "$path" "$work/system/$name"; else
            cp -L "$path" "$work/lib/$name"
            strip --strip-unneeded "$work/lib/$name" 2>/dev/null || true
        fi
    done < <(ldd "$gradctl" | awk '$2 == "=>" { print $1, $3 } $1 ~ /^\/.*ld-linux/ { n = split($1, part, "/"); print part[n], $1 }')
    {
        sed '/^__PAYLOAD__$/,$d' "$self"
        echo __PAYLOAD__
        tar -C "$work" -cz .
    } >"$pack"
    chmod +x "$pack"
    echo "check: $pack, $(($(stat -c %s "$pack") >> 20)) MiB: run it with bash where the GPU is"
    exit 0
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# Found by searching from the end: the word stands in the script, too.
payload=$(grep -an '^__PAYLOAD__$' "$self" | tail -n 1 | cut -d: -f1 || true)
if [ -n "$payload" ] && [ "$(wc -c <"$self")" -gt 1000000 ]; then
    tail -n +$((payload + 1)) "$self" | tar -C "$work" -xz
    gradctl=("env" "LD_LIBRARY_PATH=$work/lib" "$work/bin/gradctl")
    # Too old a system: with the one that it was built on.
    "${gradctl[@]}" --version >/dev/null 2>&1 ||
        gradctl=("$work/system/ld-linux-x86-64.so.2" --library-path "$work/system:$work/lib" "$work/bin/gradctl")
    here=$work
else
    here=$(cd "$(dirname "$self")" && pwd)
    gradctl=("$here/../../.build/release/gradctl")
    git -C "$here" describe --always --dirty >"$work/version" 2>/dev/null || echo unknown >"$work/version"
fi
"${gradctl[@]}" --version >/dev/null || { echo "check: gradctl does not run here" >&2; exit 1; }
# Nothing is left behind in the user's home.
export XDG_CACHE_HOME=$work/cache

step() { echo "== $* ==" >&2; }
status=0

step "devices"
"${gradctl[@]}" devices list --json >"$work/devices" || exit 1
cat "$work/devices" >&2
if command -v nvidia-smi >/dev/null; then
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >"$work/driver" 2>/dev/null || true
    cat "$work/driver" >&2
fi

step "the same bits as the processor: kernels and scans"
"${gradctl[@]}" devices check --device "$device" --cases "$cases" --json >"$work/check" || status=1
grep -v '"differing": *0[,}]' "$work/check" >&2 || true
tail -n 1 "$work/check" >&2
# Speeds of wrong answers are of no use.
[ "$status" -eq 0 ] || echo "check: see above: the answers of this device are WRONG, or it failed" >&2

step "limits and scans"
"${gradctl[@]}" bench --device "$device" --seconds "$seconds" --size $((rows * dims)) --dims "$dims" --json >"$work/bench" || status=1

: >"$work/peers"
if [ -n "$peers" ] && [[ $device == gpu* ]]; then
    step "PyTorch and FAISS"
    CUDA_VISIBLE_DEVICES=${device#gpu:} python3 "$here/peers.py" --rows "$rows" --dims "$dims" --top 10 >"$work/peers" ||
        echo "check: the peers were not measured" >&2
fi

# Lines of JSON become an array.
array() { printf '['; paste -sd, "$1"; printf ']'; }
{
    printf '{"format":1,"version":"%s","device":"%s","driver":"%s",' "$(cat "$work/version")" "$device" \
        "$(head -n 1 "$work/driver" 2>/dev/null)"
    printf '"devices":%s,' "$(array "$work/devices")"
    printf '"check":%s,' "$(array "$work/check")"
    printf '"bench":%s,' "$(array "$work/bench")"
    printf '"peers":%s}\n' "$(array "$work/peers")"
} >"$json"

# ---- the short table ----
number() { sed -n "s/.*\"$1\": *\([-0-9.e+]*\).*/\1/p"; }
kernel() { grep -o "{\"codec\": *\"$1\", *\"queries\": *$2,[^}]*}" "$work/bench" | head -n 1 | number "$3"; }
peer() { grep "\"peer\": *\"torch\", *\"type\": *\"$1\"" "$work/peers" | grep "\"queries\": *$2," | number seconds; }
# A line: what, the figure, the target, and whether more (>) or less (<) of it is wanted.
line() {
    [ -n "$2" ] || { printf '%-58s %10s %10s\n' "$1" "–" "$4 $3"; return; }
    awk -v what="$1" -v value="$2" -v target="$3" -v sense="$4" 'BEGIN {
        met = sense == ">" ? value >= target : value <= target
        printf "%-58s %10.3g %10s %s\n", what, value, sense " " target, met ? "yes" : "NO" }'
}
ratio() { [ -n "$1" ] && [ -n "$2" ] && awk -v a="$1" -v b="$2" 'BEGIN { print a / b }'; }
{
    printf '%-58s %10s %10s\n' "$(head -n 1 "$work/driver" 2>/dev/null || echo "$device")" measured target
    for queries in 1 16 64; do
        line "resident int8, Q = $queries: of the copy bandwidth" "$(kernel int8 $queries copy_ratio)" 0.85 ">"
    done
    line "resident bit, Q = 1: of the copy bandwidth" "$(kernel bit 1 copy_ratio)" 0.75 ">"
    line "resident int8, Q = 1,024: of the int8 peak" "$(kernel int8 1024 peak_ratio)" 0.50 ">"
    line "staged from the page cache: of the pinned copy" "$(number pinned_ratio <"$work/bench")" 0.90 ">"
    line "resident, one query, to its rows: ms" \
        "$(grep -o '"statement_ms": *{[^}]*}' "$work/bench" | number median)" 2 "<"
    for queries in 1 128; do
        ours=$(kernel int8 $queries scan_seconds)
        for type in int8 float16; do
            line "PyTorch's $type, Q = $queries: its time to that of int8 here" \
                "$(ratio "$(peer $type $queries)" "$ours")" 1 ">"
        done
    done
} | tee "$work/table"
echo "check: the result is in $json" >&2
exit "$status"
