#!/usr/bin/env bash
# What `make lint` runs. Cheap checks first; all are run, whatever fails before.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=0
phase() { scripts/phase.sh "$@" || failed=1; }

phase "lint: checks of the checks" python3 scripts/lint/test_lint.py --quiet
phase "lint: manifests" scripts/lint/manifests.py
phase "lint: dependency rule" scripts/lint/dependency_rule.py
phase "lint: docs of errors" scripts/lint/error_docs.py
phase "lint: licences" scripts/lint/licences.py
phase "lint: rustfmt" cargo fmt --all --check

# Intermediate files go where those of the build are, results beside: neither side makes the other
# compile again, and no program is replaced by one that has no runtime's wasm in it.
build="${CARGO_TARGET_DIR:-$PWD/target}"
export CARGO_BUILD_BUILD_DIR="$build" CARGO_TARGET_DIR="$build/lint" LINT_DOCS="$build/lint/doc"
export RUSTC_WORKSPACE_WRAPPER="$PWD/scripts/lint/rustc.sh" SKIP_WASM_BUILD=1
phase "lint: clippy and documentation" \
  cargo build --locked --quiet --workspace --all-targets --features "$FEATURES" --keep-going

[ "$failed" = 0 ] || echo "make lint: see what failed above; nothing was changed" >&2
exit "$failed"
