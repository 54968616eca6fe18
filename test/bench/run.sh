#!/bin/sh
# ./run bench [NAME [OPTION…]]: one bench, or all of them. A bench is NAME.sh in this folder.
here=$(cd "$(dirname "$0")" && pwd)
cd "$here/../.." || exit 2
if [ $# -gt 0 ]; then
    name=$1
    shift
    if [ ! -f "$here/$name.sh" ] || [ "$name" = run ] || [ "$name" = lib ]; then
        echo "bench: no '$name'; there are:" "$(cd "$here" && for f in *.sh; do
            case $f in run.sh | lib.sh) ;; *) printf ' %s' "${f%.sh}" ;; esac
        done)" >&2
        exit 2
    fi
    exec sh "$here/$name.sh" "$@"
fi
status=0
for f in "$here"/*.sh; do
    case ${f##*/} in run.sh | lib.sh) continue ;; esac
    name=${f##*/}
    echo "== ${name%.sh}"
    sh "$f" || status=1
    echo
done
exit $status
