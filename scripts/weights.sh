#!/usr/bin/env bash
# Runs the benchmarks of our pallets in a runtime that carries them, with frame-omni-bencher, and
# writes what they measured into chain/runtime/src/weights. STEPS and REPEAT for a quicker look, PALLETS
# for some of them, BENCHER for a program that is there already and takes the same arguments, OUTPUT for
# another folder. Let nothing else run meanwhile, and have the program built in release: in a dev build
# host functions are several times slower.
set -euo pipefail
cd "$(dirname "$0")/.."
cache="${PHALA_CACHE:-$HOME/.cache/phala}"

bencher="${BENCHER:-$cache/tools/bin/frame-omni-bencher}"
if [ ! -x "$bencher" ]; then
  # Its RocksDB is bound by bindgen, which needs libclang; nothing else here does.
  if ! compgen -G '/usr/lib/llvm*/lib/libclang*.so*' >/dev/null && [ -z "${LIBCLANG_PATH:-}" ]; then
    sudo=$([ "$(id -u)" = 0 ] || echo sudo)
    $sudo apt-get install -y -qq --no-install-recommends libclang-dev >/dev/null
  fi
  echo "==> installing frame-omni-bencher (once; half an hour where nothing else runs)"
  # The one whose host functions and wire are those of our release family (umbrella 2609.2).
  CARGO_TARGET_DIR="$cache/tools-target" cargo install --quiet --locked --root "$cache/tools" frame-omni-bencher@0.28.0
  rm -rf "$cache/tools-target"
fi

# The runtime as substrate-wasm-builder compiles it, but not natively before that.
target="${CARGO_TARGET_DIR:-$cache/target}-weights"
RUSTFLAGS="-C link-arg=--export-table --cfg substrate_runtime" CARGO_TARGET_DIR="$target" \
  cargo rustc --locked --package phala-runtime --release --target wasm32v1-none --no-default-features \
  --features runtime-benchmarks,software-evidence --crate-type cdylib \
  --config 'profile.release.lto="thin"' --config 'profile.release.panic="abort"'
wasm="$target/wasm32v1-none/release/phala_runtime.wasm"

output="${OUTPUT:-chain/runtime/src/weights}"
mkdir -p "$output"
for folder in chain/pallets/*/; do
  pallet="pallet_$(basename "$folder")"
  [[ " ${PALLETS:-$pallet} " == *" $pallet "* ]] || continue
  "$bencher" v1 benchmark pallet --runtime "$wasm" --genesis-builder-preset development --pallet "$pallet" \
    --extrinsic '*' --steps "${STEPS:-50}" --repeat "${REPEAT:-20}" --template scripts/weights.hbs \
    --output "$output/$pallet.rs"
done
rustfmt --edition 2021 "$output"/pallet_*.rs
