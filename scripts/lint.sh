#!/usr/bin/env bash
# What `make lint` runs. Cheap checks first; all are run, whatever fails before.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=0
phase() { scripts/phase.sh "$@" || failed=1; }

# The runtime's wasm is left as it is: checks do not need it, but a build that has it would
# be compiled again after checks without it.
[ -d "${CARGO_TARGET_DIR:-target}/debug/wbuild" ] || export SKIP_WASM_BUILD=1

phase "lint: checks of the checks" python3 scripts/lint/test_lint.py --quiet
phase "lint: manifests" scripts/lint/manifests.py
phase "lint: dependency rule" scripts/lint/dependency_rule.py
phase "lint: licences" scripts/lint/licences.py
phase "lint: rustfmt" cargo fmt --all --check
phase "lint: clippy" cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
RUSTDOCFLAGS="-D warnings" phase "lint: documentation" cargo doc --locked --quiet --workspace --no-deps

[ "$failed" = 0 ] || echo "make lint: see what failed above; nothing was changed" >&2
exit "$failed"
