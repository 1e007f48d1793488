# `make dev` and `make test` set everything up by themselves. See README.md.

# Outside the checkout, so that registry crates are compiled once a machine.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/phala/target
export CARGO_TERM_PROGRESS_WHEN ?= auto
BIN := $(CARGO_TARGET_DIR)/debug

# What runs on a user's machine.
BINARIES := -p phala-node -p phala-pruntime -p phala-pherry

.PHONY: setup build test lint bench weights clean-dev
.DEFAULT_GOAL := build

setup:
	@mkdir -p $(HOME)/.cache/phala
	@scripts/setup-system.sh
	@scripts/setup-wasm-target.sh > $(HOME)/.cache/phala/build-env

WITH_ENV := . $(HOME)/.cache/phala/build-env &&

build: setup
	@$(WITH_ENV) cargo build --locked $(BINARIES)

test: build
	@$(WITH_ENV) scripts/test.sh

lint: setup
	@cargo fmt --all --check
	@$(WITH_ENV) SKIP_WASM_BUILD=1 cargo clippy --locked --workspace --all-targets -- -D warnings
