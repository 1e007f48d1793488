#!/usr/bin/env bash
# All tests, after `make build`: formatting, unit tests, whole networks of real binaries.
# End-to-end tests take turns by themselves. Closes with one line that sums all runs up.
set -euo pipefail
cd "$(dirname "$0")/.."

log=$(mktemp)
trap 'rm -f "$log"' EXIT
run() { "$@" 2>&1 | tee -a "$log"; }

cargo fmt --all --check
(cd clients/sdk-js && npm run --silent check)
failed=0
# The same packages as `make build`: nothing is compiled twice.
run cargo test --locked --workspace --no-fail-fast || failed=1
# Benchmarks are code too: each runs once, as a test.
pallets=(mailbox registry gatekeepers clusters agents requests)
run cargo test --locked "${pallets[@]/#/-ppallet-}" --lib \
  --features "$(printf 'pallet-%s/runtime-benchmarks,' "${pallets[@]}")" || failed=1
# What a production build does without the development feature.
run cargo test --locked -p phala-attestation --no-default-features --lib || failed=1

awk '/^test result:/ { passed += $4; failed += $6 } END { printf "%d passed, %d failed\n", passed, failed }' "$log"
exit "$failed"
