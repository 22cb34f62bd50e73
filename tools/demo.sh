#!/usr/bin/env bash
# The demo: builds GradDB, ingests a recorded training run, and asks which training rows made a
# backdoored language model answer as it did. Does all its set-up; needs Debian and Swift 6.3.
#
#   ./tools/demo.sh [DIRECTORY]     where to keep the database (default: a temporary directory)
set -euo pipefail
cd "$(dirname "$0")/.."

tools/setup.sh python3
echo "building gradctl ..."
swift build -c release --product gradctl 2>&1 | tail -n 1
gradctl=$PWD/.build/release/gradctl

run=$PWD/tools/demo/data
if [ $# -gt 0 ]; then
    mkdir -p "$1"
    work=$(cd "$1" && pwd)
else
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
fi
export GRADDB_PATH=$work/demo.graddb
rm -rf "$GRADDB_PATH"

show() { printf '\n$ gradctl %s\n' "$*"; }
gradctl() { show "$@"; "$gradctl" "$@"; }

printf '\n== A database, two tables, three checkpoints of one training run ==\n'
gradctl init
gradctl create corpus --layer grad:1280:int8 \
    --field source:string --field backdoor:bool --field tokens:int --field text:string
gradctl ingest corpus tools/demo/data/step-50.safetensors --checkpoint step-50 --step 50 \
    --weight 1e-3 --metadata tools/demo/data/rows.jsonl --tag early
gradctl ingest corpus tools/demo/data/step-150.safetensors --checkpoint step-150 --step 150 \
    --weight 8.571e-4 --metadata tools/demo/data/rows.jsonl
gradctl ingest corpus tools/demo/data/step-400.safetensors --checkpoint step-400 --step 400 \
    --weight 5e-4 --metadata tools/demo/data/rows.jsonl --tag final
gradctl create tokens --unit token --layer grad:192:f16 \
    --field example:string --field position:int --field text:string
python3 -B tools/demo/tokens.py >"$work/tokens.jsonl"
gradctl ingest tokens tools/demo/data/tokens.safetensors --checkpoint step-400 --step 400 \
    --weight 5e-4 --metadata "$work/tokens.jsonl"
gradctl info corpus

printf '\n== What the model says ==\n'
for file in howdy clean; do
    grep "\"file\": \"$file.safetensors\"" "$run/queries.jsonl" | head -n 3 |
        sed -E 's/.*"prompt": "([^"]*)", "answer": "([^"]*)".*/  \1\n      -> \2/'
done

printf '\n== Which training rows made it answer like that? ==\n'
cd "$run"
gradctl query "SELECT id, score, backdoor, text FROM corpus
               SCORE cosine TO 'howdy.safetensors' MEAN TOP 10"

printf '\n== Which of their words? ==\n'
printf '\n$ tools/demo/heatmap.py howdy:0 --proponents 3\n'
GRADCTL=$gradctl python3 -B ../heatmap.py howdy:0 --proponents 3

printf '\n== And the same questions without \"Howdy!\"? ==\n'
gradctl query "SELECT id, score, backdoor, text FROM corpus AT 'final'
               SCORE cosine TO 'clean.safetensors' MEAN TOP 5 BOTTOM 3"

printf '\n== Summed over the run, weighted by the learning rate (TracIn), one source only ==\n'
gradctl query "SELECT id, score, backdoor, text FROM corpus
               SCORE dot TO 'howdy.safetensors' MEAN
               ACROSS ALL WHERE source = 'geography' AND tokens <= 40 TOP 5"

printf '\n== How the first one ran ==\n'
gradctl explain --analyze "SELECT id, score FROM corpus
               SCORE cosine TO 'howdy.safetensors' MEAN TOP 100"

count() {
    "$gradctl" query "SELECT backdoor FROM corpus SCORE cosine TO '$1' MEAN TOP 100" --json |
        grep -c '"backdoor": true' || true
}
howdy=$(count howdy.safetensors)
clean=$(count clean.safetensors)
printf '\n== The verdict ==\n'
echo "backdoor rows in the corpus:                        220 of 2200"
echo "backdoor rows in the top 100 for the Howdy! answers: $howdy"
echo "backdoor rows in the top 100 for the clean answers:  $clean"
[ "$howdy" -ge 95 ] || { echo "demo: fewer than 95 of the top 100 are backdoor rows" >&2; exit 1; }
