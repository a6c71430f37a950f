#!/usr/bin/env bash
# install.sh FOLDER [--editable]
# distributor in a virtual environment of its own, from the pins of requirements.txt: what the image, a server and
# `make` have in common. PYTHON names another interpreter than python3. Run again, it brings FOLDER up to date.
set -euo pipefail
if (($# < 1 || $# > 2)) || [ "${2:---editable}" != --editable ]; then
    sed -n '2,4s/^# //p' "$0" >&2
    exit 2
fi
source=$(cd "$(dirname "$0")/.." && pwd)
pip=("$1/bin/python" -m pip install --quiet --disable-pip-version-check)
[ -x "$1/bin/python" ] || "${PYTHON:-python3}" -m venv "$1"
"${pip[@]}" --require-hashes -r "$source/requirements.txt"
"${pip[@]}" --no-build-isolation --no-deps --force-reinstall ${2:+--editable} "$source"
