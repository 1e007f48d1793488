#!/usr/bin/env bash
# All tests, after `make build`: formatting, unit tests, whole networks of real binaries. Closes with
# the slowest tests, the seconds of each phase, and one line that sums all up.
set -euo pipefail
cd "$(dirname "$0")/.."
exec node scripts/run-tests.mjs
