# Everything a change must pass, and what a person needs around it. `make help` lists the targets.
# `make test` needs Rust, a C compiler and make; what else is missing is said and skipped.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.NOTPARALLEL:
.PHONY: help test verify fmt-check clippy unit seeds docs deny fix coverage fuzz fuzz-keep fuzz-reach bench \
	sim-check sim-accept sim-nightly help-accept kill-loop attacker hostile chaos

CARGO ?= cargo
# One profile and one set of flags everywhere, so that no step builds again what another built.
LOCKED := --locked
SECONDS_PER_TARGET ?= 60
SEEDS ?= 1000
ROUNDS ?= 200
BENCH ?= hot_path
BENCH_ARGS ?=
HOSTILE_ARGS ?=

help: ## This list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: fmt-check clippy unit seeds docs deny ## Everything a change must pass.
	@echo "make test: all passed"

verify: test ## The same as test; neither ever writes into the tree.

fmt-check:
	$(CARGO) fmt --all --check

clippy:
	$(CARGO) clippy $(LOCKED) --workspace --all-targets -- -D warnings

# The rules of the house are among these: crates/core/tests/tidy.
unit:
	$(CARGO) test $(LOCKED) --workspace

# The fuzz targets' properties, without the engine: whoever changes core hears of it here.
seeds:
	$(CARGO) test $(LOCKED) --manifest-path fuzz/Cargo.toml --example seeds

docs:
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc $(LOCKED) --workspace --no-deps

deny:
	@if ! command -v cargo-deny >/dev/null; then \
		echo "deny: SKIPPED, cargo-deny is not installed (cargo install cargo-deny --locked)"; \
	elif GIT_TERMINAL_PROMPT=0 $(CARGO) deny $(LOCKED) fetch db >/dev/null 2>&1; then \
		$(CARGO) deny $(LOCKED) check --hide-inclusion-graph; \
	else \
		$(CARGO) deny $(LOCKED) check --hide-inclusion-graph bans licenses sources; \
		echo "deny: advisories SKIPPED, their database is not reachable"; \
	fi

fix: ## Format, and apply what clippy can repair.
	$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	$(CARGO) fmt --all

sim-check: ## The simulator's regression gate; part of test.
	$(CARGO) test $(LOCKED) -p knhk-mesh-sim --test baseline

sim-accept: ## Take the figures of this code as the new baseline.
	SIM_ACCEPT=1 $(CARGO) test $(LOCKED) -p knhk-mesh-sim --test baseline
	@git diff --stat -- crates/sim/tests/baseline.json

kill-loop: ## ROUNDS times kill -9 under writes on three processes; part of test with a few.
	KILL_ROUNDS=$(ROUNDS) $(CARGO) test $(LOCKED) -p knhk-mesh-cli --test kill_loop -- --nocapture

chaos: ## The whole stack on a network in memory; CHAOS_NODES (50, at most 1,000), CHAOS_SEED (1).
	$(CARGO) test $(LOCKED) -p knhk-mesh --test chaos -- --nocapture

attacker: ## What 5,000 datagrams a second of each kind cost one node, over loopback; minutes.
	$(CARGO) run $(LOCKED) --release -p knhk-mesh --example attacker -- 12

hostile: ## What a node made from docs/WIRE.md alone can make another hold, answer and compute; HOSTILE_ARGS="-o json".
	$(CARGO) run $(LOCKED) --release -p knhk-mesh --example hostile -- $(HOSTILE_ARGS)

help-accept: ## Take the help texts of this code as the agreed ones.
	HELP_ACCEPT=1 $(CARGO) test $(LOCKED) -p knhk-mesh-cli every_help_text
	@git diff --stat -- crates/cli/tests/help

# Debian's llvm-19 and newer read the profiles of current compilers; rustup's llvm-tools do as well.
LLVM_BIN := $(firstword $(wildcard $(foreach v,22 21 20 19,/usr/lib/llvm-$(v)/bin)))
ifneq ($(LLVM_BIN),)
coverage: export LLVM_COV ?= $(LLVM_BIN)/llvm-cov
coverage: export LLVM_PROFDATA ?= $(LLVM_BIN)/llvm-profdata
endif
RUSTUP_LLVM := $(wildcard $(shell rustc --print sysroot 2>/dev/null)/lib/rustlib/*/bin/llvm-cov)

coverage: ## Line coverage per crate.
	@missing=; \
	command -v cargo-llvm-cov >/dev/null || missing="cargo install cargo-llvm-cov --locked"; \
	if [ -z "$${LLVM_COV:-}$(RUSTUP_LLVM)" ]; then \
		missing="$${missing:+$$missing && }{ rustup component add llvm-tools || apt-get install llvm-19; }"; \
	fi; \
	if [ -n "$$missing" ]; then echo "coverage: missing tools; to install: $$missing"; exit 1; fi
	$(CARGO) llvm-cov clean --profraw-only
	$(CARGO) llvm-cov --no-report $(LOCKED) --workspace
	@report=$$(mktemp); trap 'rm -f "$$report"' EXIT; \
	$(CARGO) llvm-cov report --lcov --output-path "$$report"; \
	awk -f .ci/coverage.awk "$$report"

fuzz: ## Every fuzz target, SECONDS_PER_TARGET (60) each.
	@if ! command -v cargo-fuzz >/dev/null; then \
		echo "fuzz: cargo-fuzz is missing; to install: cargo install cargo-fuzz --locked"; exit 1; \
	fi
	$(CARGO) fuzz build -s none
	@for target in $$($(CARGO) fuzz list); do \
		echo "fuzz: $$target, $(SECONDS_PER_TARGET) s"; \
		mkdir -p "fuzz/found/$$target"; \
		$(CARGO) fuzz run -s none "$$target" "fuzz/found/$$target" "fuzz/corpus/$$target" "fuzz/seeds/$$target" -- \
			-max_total_time=$(SECONDS_PER_TARGET) -max_len=4096 -print_final_stats=1 || exit 1; \
	done

fuzz-keep: ## Adds to fuzz/corpus what `make fuzz` found new ways with.
	@for target in $$($(CARGO) fuzz list); do \
		mkdir -p "fuzz/found/$$target"; \
		$(CARGO) fuzz run -s none "$$target" "fuzz/corpus/$$target" "fuzz/found/$$target" "fuzz/seeds/$$target" -- -merge=1 || exit 1; \
	done

fuzz-reach: seeds ## Tests that the seeds reach every Ok path, and counts the paths of seeds and corpus.
	$(CARGO) run $(LOCKED) --manifest-path fuzz/Cargo.toml --example seeds -- reach

bench: ## What a record costs (BENCH=hot_path, BENCH_ARGS=--json).
	$(CARGO) bench $(LOCKED) -p knhk-mesh-core --bench $(BENCH) -- $(BENCH_ARGS)

sim-nightly: ## Every scenario file and SEEDS (1000) seeds of mixed faults, on all cores.
	$(CARGO) run $(LOCKED) --release -p knhk-mesh-sim --example nightly -- --files --seeds $(SEEDS)
