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

if ! command -v node >/dev/null || [ "$(node --version | sed 's/v\([0-9]*\).*/\1/')" -lt 20 ]; then
  echo "Node.js 20 or later is missing. Install it (https://nodejs.org), then run this again." >&2
  exit 1
fi
