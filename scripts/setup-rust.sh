#!/usr/bin/env bash
# Makes the Rust of rust-toolchain.toml usable: what is installed first, then rustup. Where rustup's
# server is out of reach, the default toolchain serves if it is new enough, and lints may differ.
# Prints, as its only output on stdout, the environment that the build needs (for `eval`).
set -euo pipefail
cd "$(dirname "$0")/.."

command -v cargo >/dev/null || {
  echo "Rust is missing. Install it with rustup (https://rustup.rs), then run this again." >&2
  exit 1
}
pinned=$(sed -n 's/^channel = "\(.*\)"$/\1/p' rust-toolchain.toml)
least=$(sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml)

# Without the pinned version being there, rustup would begin to fetch it at any call from this folder.
export RUSTUP_AUTO_INSTALL=0
version() { (cd / && "$@" rustc --version 2>/dev/null | cut -d' ' -f2) || true; }
new_enough() { [ -n "$1" ] && [ "$(printf '%s\n%s\n' "$1" "$least" | sort -V | head -1)" = "$least" ]; }

if ! command -v rustup >/dev/null; then
  # A distribution's Rust: it does not read rust-toolchain.toml.
  rust=$(version env)
  new_enough "$rust" && exit 0
  echo "Rust ${rust:-(none)} is too old: $least or later is needed. Install it with rustup (https://rustup.rs)." >&2
  exit 1
fi

rustc --version >/dev/null 2>&1 && exit 0
default=$(version env)
if [ "$default" = "$pinned" ]; then
  # Installed under another name, such as `stable`: nothing to fetch.
  echo "export RUSTUP_TOOLCHAIN=$(cd / && rustup show active-toolchain | cut -d' ' -f1)"
  exit 0
fi
echo "==> installing Rust $pinned with rustup" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if rustup toolchain install "$pinned" --profile minimal --component clippy --component rustfmt >"$log" 2>&1; then
  exit 0
fi
if new_enough "$default"; then
  echo "==> rustup's server is out of reach: Rust $default serves instead of $pinned; its lints may differ" >&2
  echo "export RUSTUP_TOOLCHAIN=$(cd / && rustup show active-toolchain | cut -d' ' -f1)"
  exit 0
fi
cat "$log" >&2
echo "Rust $pinned is needed and could not be installed. Run where rustup works: rustup toolchain install $pinned" >&2
exit 1
