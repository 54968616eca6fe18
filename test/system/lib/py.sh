#!/bin/sh
# Runs a test script with the Python that has the foreign readers (build/venv, made by ./run).
here=$(cd "$(dirname "$0")" && pwd)
venv=${BP_VENV:-${BP_BUILD:-${MESON_BUILD_ROOT:-$here/../../../build}}/venv}
if ! "$venv/bin/python" -c 'import mcap, lz4, zstandard, yaml' 2>/dev/null; then
    echo "SKIP: no Python with mcap, lz4, zstandard, pyyaml in $venv (./run makes it)"
    exit 77
fi
# meson fills freed memory with it, which is then not given back: sizes would not be those of users
unset MALLOC_PERTURB_
# the folder of the script stays off the path: bench/mcap.py is not the package mcap
export PYTHONDONTWRITEBYTECODE=1 PYTHONPATH="$here" PYTHONSAFEPATH=1
exec "$venv/bin/python" "$@"
