#!/usr/bin/env bash
# Runs the benchmarks of our pallets in a runtime that carries them, with frame-omni-bencher, and
# writes what they measured into the pallets' folders for review.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${PHALA_CACHE:-$HOME/.cache/phala}"

bencher="$cache/tools/bin/frame-omni-bencher"
if [ ! -x "$bencher" ]; then
  # Its RocksDB is bound by bindgen, which needs libclang; nothing else here does.
  if ! compgen -G '/usr/lib/llvm*/lib/libclang*.so*' >/dev/null && [ -z "${LIBCLANG_PATH:-}" ]; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get install -y -qq --no-install-recommends libclang-dev >/dev/null
  fi
  echo "==> installing frame-omni-bencher (once, some 20 minutes)"
  # The one whose host functions and wire are those of our release family (umbrella 2609.2).
  CARGO_TARGET_DIR="$cache/tools-target" cargo install --quiet --locked --root "$cache/tools" frame-omni-bencher@0.28.0
  rm -rf "$cache/tools-target"
fi

export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$cache/target}-weights"
# Only the wasm runs, and a check's build scripts make it: the native runtime is not compiled.
WASM_BUILD_TYPE=release cargo check --locked -p phala-runtime --features runtime-benchmarks
wasm="$CARGO_TARGET_DIR/debug/wbuild/phala-runtime/phala_runtime.compact.compressed.wasm"
for folder in chain/pallets/*/; do
  "$bencher" v1 benchmark pallet --runtime "$wasm" --genesis-builder-preset development \
    --pallet "pallet_$(basename "$folder")" --extrinsic '*' --steps 50 --repeat 20 --output "${folder}measured-weights.rs"
done
