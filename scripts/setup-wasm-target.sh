#!/usr/bin/env bash
# Makes the target wasm32v1-none usable, which the runtime is compiled for.
# rustup first; where its server is out of reach, Debian's Rust is used to make the target.
# Prints, as its only output on stdout, the environment that the build needs (for `eval`).
set -euo pipefail

cache="${PHALA_CACHE:-$HOME/.cache/phala}"
target=wasm32v1-none

has_target() { [ -d "$("$@" rustc --print sysroot 2>/dev/null)/lib/rustlib/$target/lib" ]; }
debian_env() {
  echo "export WASM_BUILD_TOOLCHAIN=debian-web"
  echo "export PATH=\"$(rustc --print sysroot)/lib/rustlib/x86_64-unknown-linux-gnu/bin:\$PATH\""
}

has_target env && exit 0
if [ -f "$cache/debian-wasm-target" ] && has_target rustup run debian-web; then
  debian_env
  exit 0
fi

echo "==> adding the Rust target $target with rustup" >&2
if rustup target add "$target" >"$cache.rustup.log" 2>&1 && has_target env; then
  rm -f "$cache.rustup.log"
  exit 0
fi
rm -f "$cache.rustup.log"

echo "==> rustup's server is out of reach: making $target from Debian's Rust instead" >&2
command -v apt-get >/dev/null || {
  echo "This fallback needs Debian or Ubuntu. Run 'rustup target add $target' where rustup works." >&2
  exit 1
}
sudo=""
[ "$(id -u)" = 0 ] || sudo="sudo"
$sudo apt-get update -qq >&2
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends \
  rustc-web cargo-web rust-web-src lld >/dev/null
rustup toolchain link debian-web /usr >&2

# An empty no_std library, built together with core and alloc, leaves just those two behind. With
# bitcode, because the runtime is linked with LTO.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/src"
echo '#![no_std]' >"$work/src/lib.rs"
printf '[package]\nname = "sysroot"\nversion = "0.0.0"\nedition = "2021"\n' >"$work/Cargo.toml"
(cd "$work" && RUSTFLAGS="-C embed-bitcode=yes" CARGO_PROFILE_RELEASE_LTO=fat RUSTC_BOOTSTRAP=1 \
  CARGO_TARGET_DIR="$work/target" rustup run debian-web cargo build --quiet --release \
  --target "$target" -Z build-std=core,alloc >&2)
lib="/usr/lib/rustlib/$target/lib"
$sudo mkdir -p "$lib"
$sudo cp "$work/target/$target/release/deps/"lib{core,alloc,compiler_builtins}-*.rlib "$lib/"
mkdir -p "$cache"
touch "$cache/debian-wasm-target"
debian_env
