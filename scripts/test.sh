#!/usr/bin/env bash
# All tests, after `make build`: formatting, unit tests, whole networks of real binaries.
# End-to-end tests take turns by themselves.
set -euo pipefail
cd "$(dirname "$0")/.."

cargo fmt --all --check
(cd clients/sdk-js && npm run --silent check)
# The same packages and targets as `make build`: nothing is compiled twice.
cargo test --locked --workspace --no-fail-fast
# Benchmarks are code too: each runs once, as a test.
cargo test --locked -p pallet-mailbox -p pallet-registry \
  --features pallet-mailbox/runtime-benchmarks,pallet-registry/runtime-benchmarks --lib
# Code paths behind a feature that the workspace build unifies on or off.
cargo test --locked -p phala-attestation --no-default-features
