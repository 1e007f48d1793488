#!/usr/bin/env bash
# Runs the benchmarks of our pallets in a runtime that carries them, with frame-omni-bencher, and
# writes what they measured to the pallets' `weights` folders for review.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${PHALA_CACHE:-$HOME/.cache/phala}"

bencher="$cache/tools/bin/frame-omni-bencher"
if [ ! -x "$bencher" ]; then
  echo "==> installing frame-omni-bencher (once)"
  cargo install --quiet --locked --root "$cache/tools" frame-omni-bencher
fi

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}-weights"
cargo build --locked --release -p phala-runtime --features runtime-benchmarks
wasm="$CARGO_TARGET_DIR/release/wbuild/phala-runtime/phala_runtime.compact.compressed.wasm"
for pallet in pallet_mailbox pallet_registry pallet_gatekeepers pallet_clusters pallet_agents pallet_requests; do
  folder="chain/pallets/${pallet#pallet_}"
  "$bencher" v1 benchmark pallet --runtime "$wasm" --genesis-builder-preset development \
    --pallet "$pallet" --extrinsic '*' --steps 50 --repeat 20 --output "$folder/measured-weights.rs"
done
