# sourced by the benches: runs NAME.py with the test Python
# shellcheck shell=sh
here=$(cd "$(dirname "$0")" && pwd)
export BP_BUILD=${BP_BUILD:-$(cd "$here/../.." && pwd)/build}
export BP_LIMIT=${BP_LIMIT:-10800} # medians take their time
exec "$here/../system/lib/py.sh" "$here/$(basename "$0" .sh).py" "$@"
