#!/bin/sh
# Bundles the dashboard: web-build.sh NODE WEB OUT. Called by meson; ninja knows by the depfile when again.
# Packages are fetched when package-lock.json has changed only.
set -eu
node=$1 web=$2 out=$3
tools=$(cd "$(dirname "$0")" && pwd)
PATH=$(dirname "$node"):$PATH
export PATH
stamp=$web/node_modules/.bagpipe-lock
log=$(mktemp)
trap 'rm -f "$log"' EXIT

quietly() {
    "$@" >"$log" 2>&1 </dev/null && return
    cat "$log" >&2
    echo "failed: $*" >&2
    exit 1
}

cd "$web"
if ! cmp -s package-lock.json "$stamp"; then
    # not `npm ci`: it wants what vite may bring on Windows alone in the lock file, which a mirror need not have
    quietly npm install --no-save --no-audit --no-fund --loglevel=error
    cp package-lock.json "$stamp"
fi
quietly npm run --silent build
exec "$node" "$tools/web-pack.mjs" "$web" "$out"
