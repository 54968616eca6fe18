#!/usr/bin/env bash
# tools/fuzz.sh NAME SECONDS JOBS: runs each target of build/fuzz (or the one of that name) for so
# long, JOBS at a time. New inputs go to build/fuzz/corpus/NAME, crashes to build/fuzz/crashes; a
# crash is kept by committing its input to src/ROOM/corpus/NAME.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# fuzz-NAME lies in build/fuzz/src/ROOM, its committed corpus in src/ROOM/corpus/NAME
fuzz_one() {
    local target=$1 length=$2 name room found log status=0
    name=${target##*/fuzz-}
    room=$(basename "$(dirname "$target")")
    found=build/fuzz/corpus/$name
    log=build/fuzz/$name.log
    mkdir -p "$found" build/fuzz/crashes
    "$target" -max_total_time="$length" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
        -artifact_prefix="build/fuzz/crashes/$name-" "$found" "src/$room/corpus/$name" \
        >"$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 40 "$log"
        echo "fuzz $name: FOUND something, input in build/fuzz/crashes"
        return 1
    fi
    echo "fuzz $name: clean, $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") runs in $length s"
}

if [ "$1" = --one ]; then
    fuzz_one "$3" "$2"
    exit
fi

name=$1 length=$2 jobs=$3
targets=$(find build/fuzz/src -type f -perm -u+x -name "fuzz-${name:-*}" | sort)
if [ -z "$targets" ]; then
    echo "run: no fuzz target '$name'" >&2
    exit 2
fi
printf '%s\n' "$targets" | xargs -P "$jobs" -n 1 bash tools/fuzz.sh --one "$length"
