# `make dev` and `make test` set everything up by themselves. See README.md.

# Outside the checkout, so that registry crates are compiled once a machine.
export CARGO_TARGET_DIR ?= $(HOME)/.cache/phala/target
CACHE := $(HOME)/.cache/phala
# What is for development only, which cargo leaves out unasked.
export FEATURES := phala-pruntime/development
BIN := $(CARGO_TARGET_DIR)/debug
PROFILE ?= release

# The set-up scripts write here what the environment of a build needs.
WITH_ENV := set -e; . $(CACHE)/build-env;

.PHONY: setup build dev test test-hosts nightly lint bench bench-election random simulate try-runtime weights package
.DEFAULT_GOAL := build

setup:
	@mkdir -p $(CACHE)
	@scripts/setup-system.sh
	@scripts/setup-rust.sh > $(CACHE)/build-env.new
	@. $(CACHE)/build-env.new; scripts/setup-wasm-target.sh >> $(CACHE)/build-env.new
	@mv $(CACHE)/build-env.new $(CACHE)/build-env
	@scripts/setup-npm.sh

# One build serves `make dev` and `make test`: the same packages, targets and features.
build: setup
	@$(WITH_ENV) cargo build --locked --workspace --all-targets --features $(FEATURES)

# ONCE=1: does its work, prints a summary as the last line, stops everything.
dev: build
	@$(BIN)/phala network up $(if $(ONCE),--once)

test: build
	@$(WITH_ENV) scripts/test.sh

# Two hosts as network namespaces, which takes root and minutes: a network begun by `phala network new`,
# and a validator of a second host.
test-hosts: build
	@$(WITH_ENV) cargo test --locked --workspace --features $(FEATURES) --test hosts

# All that takes too long for `make test`, one after the other, by root: else the hosts are not tried.
nightly:
	@[ "$$(id -u)" = 0 ] || { echo "make nightly is for root: test-hosts makes network namespaces" >&2; exit 1; }
	@for target in test test-hosts try-runtime random simulate bench-election; do $(MAKE) $$target || exit 1; done

# Formatting, clippy and documentation with warnings denied, the dependency rule, licences.
lint: setup
	@$(WITH_ENV) scripts/lint.sh

# Speed: release builds of what is measured. Figures and how to read them: benches/README.md.
bench: build
	@$(WITH_ENV) cargo run --locked --release -p phala-light-client --features test-support --example throughput
	@$(WITH_ENV) cargo run --locked --release -p phala-light-client --features test-support --example sync
	@$(WITH_ENV) cargo bench --locked -p phala-sandbox --bench fresh_instance
	@$(WITH_ENV) cargo build --locked --release -p phala-pruntime --features $(FEATURES)
	@$(BIN)/phala build benches/items && node benches/beside-workerd.mjs $(CARGO_TARGET_DIR)/release/pruntime

# Everybody at random over the real runtime, for long: BLOCKS blocks from SEED on.
random: build
	@$(WITH_ENV) PHALA_RANDOM_BLOCKS=$(or $(BLOCKS),20000) PHALA_RANDOM_SEED=$(or $(SEED),1) \
		SKIP_WASM_BUILD=1 cargo test --locked --workspace --features $(FEATURES) --lib -- --nocapture tests::random

# The whole network under one seed after another: SEEDS of them from SEED on. What fails is printed with the
# fewest faults with which it still does. RELEASE=1 for many: several times as fast, after a near-full build.
simulate: build
	@$(WITH_ENV) PHALA_SIMULATION_SEEDS=$(or $(SEEDS),1000) PHALA_SIMULATION_SEED=$(or $(SEED),1) \
		SKIP_WASM_BUILD=1 cargo test --locked $(if $(RELEASE),--release -p phala-simulation,--workspace --features $(FEATURES)) \
		--lib -- --nocapture whatever_goes_wrong_all_holds_that_must

# An upgrade of a state that everybody worked on, with all checks that the stock pallets have too: the
# runtime's dependencies once more, with those checks in them, in a folder of their own.
try-runtime: setup
	@$(WITH_ENV) SKIP_WASM_BUILD=1 CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)-try-runtime \
		cargo test --locked -p phala-runtime --features try-runtime --lib -- tests::upgrades --skip wasm

# The block that elects validators among 25,000 nominators, in the wasm: fails if it takes more than half a block.
# The state is made by a test; what runs it is optimised, as a node is, and is built in a folder of its own.
bench-election: build
	@rm -f $(CARGO_TARGET_DIR)/election.state
	@$(WITH_ENV) PHALA_ELECTION_FILE=$(CARGO_TARGET_DIR)/election.state \
		cargo test --locked --workspace --features $(FEATURES) --lib -- --nocapture an_election_in_the_wasm
	@$(WITH_ENV) CARGO_TARGET_DIR=$(CARGO_TARGET_DIR)/bench-election \
		cargo run --locked --release --manifest-path benches/election/Cargo.toml -- $(CARGO_TARGET_DIR)/election.state

# Measures the calls of our pallets on this machine and writes their weights into the runtime: another
# near-full build, with the benchmarks inside the runtime, and a tool of half an hour (BENCHER names one that is
# there); then about a quarter of an hour in which nothing else should run. CONTRIBUTING has the rest.
weights: setup
	@$(WITH_ENV) scripts/weights.sh

# One archive for machines that run a validator or a worker: programs, systemd units, notes. Optimised
# and without what is for development, from nothing another near-full build; PROFILE=debug takes what
# `make build` makes.
package: $(if $(filter debug,$(PROFILE)),build,setup)
	@$(WITH_ENV) PROFILE=$(PROFILE) scripts/package.sh
