#!/usr/bin/env bash
# Installs the system packages that the build needs, on Debian and Ubuntu; elsewhere says which.
# Quiet when nothing is missing.
set -euo pipefail

# command -> Debian package
declare -A needed=(
  [protoc]=protobuf-compiler  # libp2p's messages
  [clang]=clang               # bindgen
  [cmake]=cmake
  [make]=make
  [cc]=build-essential
  [curl]=curl
)
missing=()
for command in "${!needed[@]}"; do
  command -v "$command" >/dev/null || missing+=("${needed[$command]}")
done
ls /usr/lib/llvm-*/lib/libclang*.so* >/dev/null 2>&1 || missing+=(libclang-dev)

if [ "${#missing[@]}" -gt 0 ]; then
  if ! command -v apt-get >/dev/null; then
    echo "Please install with your package manager, then run this again: ${missing[*]}" >&2
    echo "(named as on Debian; protoc, clang with libclang, cmake and a C compiler are what is needed)" >&2
    exit 1
  fi
  sudo=""
  [ "$(id -u)" = 0 ] || sudo="sudo"
  echo "==> installing system packages: ${missing[*]}"
  $sudo apt-get update -qq
  DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

command -v cargo >/dev/null || {
  echo "Rust is missing. Install it with rustup (https://rustup.rs), then run this again." >&2
  exit 1
}
rust=$(rustc --version | cut -d' ' -f2)
if [ "$(printf '%s\n1.95.0\n' "$rust" | sort -V | head -1)" != 1.95.0 ]; then
  echo "Rust $rust is too old: 1.95 or later is needed. Run: rustup update stable" >&2
  exit 1
fi
if ! command -v node >/dev/null || [ "$(node --version | sed 's/v\([0-9]*\).*/\1/')" -lt 20 ]; then
  echo "Node.js 20 or later is missing. Install it (https://nodejs.org), then run this again." >&2
  exit 1
fi
