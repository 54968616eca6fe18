#!/bin/sh
# Puts pictures that the browser tests have made (./run test web-pages web-replay) into docs/pictures, in 256 colours.
set -eu
cd "$(dirname "$0")/.."
shots=build/test-artefacts/web
mkdir -p docs/pictures
for row in overview:pages/overview-light topics:pages/topics-dark replay:replay/suggested session:replay/session-files; do
    if [ ! -f "$shots/${row#*:}.png" ]; then
        echo "no $shots/${row#*:}.png: run ./run test web-pages web-replay first" >&2
        exit 1
    fi
    build/venv/bin/python -c 'import sys; from PIL import Image
Image.open(sys.argv[1]).convert("RGB").quantize(256, dither=0).save(sys.argv[2], optimize=True)' \
        "$shots/${row#*:}.png" "docs/pictures/${row%%:*}.png"
done
