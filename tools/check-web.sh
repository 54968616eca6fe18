#!/bin/sh
# One check of the dashboard's sources: check-web.sh NODE WEB CHECK, with CHECK types, rules, layout, tests or
# size. Its packages are there once it was built.
set -eu
node=$1 web=$2 check=$3
tools=$(cd "$(dirname "$0")" && pwd)
PATH=$(dirname "$node"):$PATH
export PATH
cd "$web"
if [ ! -d node_modules ]; then
    echo "no packages in web/node_modules: the build brings them (./run build)"
    exit 1
fi
case $check in
types) exec npx --no-install tsc --noEmit ;;
rules) exec npx --no-install eslint . ;;
layout) exec npx --no-install prettier --check . ;;
tests) exec npx --no-install vitest run ;;
size) exec "$node" "$tools/check-web-size.mjs" dist ;;
*) echo "unknown check '$check'" && exit 2 ;;
esac
