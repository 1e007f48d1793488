#!/usr/bin/env bash
# Stands in for rustc while `make lint` builds the crates of the workspace: clippy, and rustdoc for
# libraries and programs, with warnings denied. So what the build compiled of the registry serves
# here too; `cargo clippy` and `cargo doc` would compile all of it once more, in another mode.
set -euo pipefail

clippy-driver "$@" -D warnings

shift # rustc
case " $* " in
  # Tests, build scripts, and what cargo asks of the compiler.
  *" --test "* | *" --crate-name build_script_"* | *" --crate-name ___ "*) exit ;;
  *" --crate-type lib "* | *" --crate-type bin "*) ;;
  *) exit ;;
esac
options=()
while [ $# -gt 0 ]; do
  case "$1" in
    --emit=*) ;;
    --out-dir | -C) shift ;;
    *) options+=("$1") ;;
  esac
  shift
done
# Module docs are manuals for contributors: they may link to what is private.
rustdoc "${options[@]}" -D warnings -A rustdoc::private-intra-doc-links --out-dir "$LINT_DOCS"
