#!/usr/bin/env bash
# Installs the npm packages that the build and the tests use, from their lock files.
# Quiet when what is installed is what the lock file says.
set -euo pipefail
cd "$(dirname "$0")/.."

for folder in clients/sdk-js testing/end-to-end/node-client; do
  stamp="$folder/node_modules/.installed-lock"
  if ! cmp -s "$folder/package-lock.json" "$stamp" 2>/dev/null; then
    echo "==> npm packages of $folder"
    (cd "$folder" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error)
    cp "$folder/package-lock.json" "$stamp"
  fi
done
