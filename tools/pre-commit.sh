#!/usr/bin/env bash
# The quick lints over what is staged, before a commit (./run hooks). CI is the judge; anyone may skip
# this with git commit --no-verify.
set -euo pipefail
cd "$(git rev-parse --show-toplevel)"

mapfile -t staged < <(git diff --cached --name-only --diff-filter=ACMR -- '*.c' '*.h')
if [ ${#staged[@]} -gt 0 ] && ! clang-format --dry-run -Werror "${staged[@]}" 2>/dev/null; then
    echo "not formatted; cure: clang-format -i ${staged[*]}" >&2
    exit 1
fi
for lint in layers banned headers size texts shell; do
    if ! out=$(/usr/bin/python3 "tools/check-$lint.py"); then
        echo "$lint: $out" >&2
        exit 1
    fi
done
