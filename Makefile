# Thin on purpose: what a target does is in `backbone`, in `xtask` or in cargo. `make` alone lists the targets.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)/release
TOOLS := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/backbone/tools
BACKBONE := $(TARGET)/backbone

# --workspace everywhere: cargo then gives every crate the same features, so nothing is built twice.
CARGO_FLAGS := --release --locked --workspace

# Tools that Debian does not have; the version is part of the path, so a new one is a new file.
BUF := $(TOOLS)/buf-1.57.2/buf
GRPCURL := $(TOOLS)/grpcurl-1.9.4/grpcurl
ETCD := $(TOOLS)/etcd-3.7.3/etcd
DENY := $(TOOLS)/cargo-deny-0.20.2/bin/cargo-deny

NEEDED := cc:gcc make:make git:git java:openjdk-17-jre-headless mvn:maven
NEEDED_FOR_TESTS := chromium:chromium chromedriver:chromium-driver kcat:kcat
NEEDED_FOR_VERIFY := promtool:prometheus
NEEDED_FOR_BENCH := pgbench:postgresql-15 javac:openjdk-17-jdk-headless

.PHONY: help demo start up stop down test conformance verify fix e2e crash bench bench-crdt build fetch ready tests-ready advisories

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ready ## start two regions, place an order in each, and shop until Ctrl-C
	@$(BACKBONE) demo

start: ready ## start everything in the background and return when the shop answers
	@$(BACKBONE) up --detach

stop: ## stop what `start` started; the data stays
	@if [ -x $(BACKBONE) ]; then $(BACKBONE) down; else echo "$(BACKBONE) is not built, so nothing of it runs"; fi

up: start
down: stop

test: tests-ready $(GRPCURL) ## run every test, on real engines; needs nothing done before
	cargo test $(CARGO_FLAGS) --no-fail-fast
	@$(MAKE) e2e

# The crate's Cargo.toml has `test = false` for its target, so that `cargo test` alone leaves it out.
e2e: tests-ready $(GRPCURL) ## run the end-to-end suite: two whole regions, a browser, grpcurl, kcat
	GRPCURL=$(GRPCURL) cargo test $(CARGO_FLAGS) --test e2e

conformance: $(ETCD) ## hold etcd itself against the suite that the coordinator passes in `make test`
	ETCD=$(ETCD) cargo test $(CARGO_FLAGS) --test it -- etcd_itself_passes_the_same_suite

crash: ready ## kill a process every 1-2 s under load, then look for broken promises; SEED=.. repeats a plan, SECONDS=.. (120) says how long
	CRASH_SEED=$(SEED) CRASH_SECONDS=$(if $(filter command line,$(origin SECONDS)),$(SECONDS),120) cargo test $(CARGO_FLAGS) --test e2e -- crash::

bench: ready ## measure against rivals, and write docs/benchmarks.md; ROUNDS=.. (5)
	@.ci/install $(NEEDED_FOR_BENCH)
	$(BACKBONE) bench --rounds $(if $(ROUNDS),$(ROUNDS),5) --write docs

# A workspace of its own, so that its libraries are built only for this; they take some minutes.
bench-crdt: ## measure our OR-set against four CRDT libraries, and write docs/benchmarks.md; ROUNDS=.. (5)
	cargo run --release --locked --manifest-path bench/crdt/Cargo.toml -- --rounds $(if $(ROUNDS),$(ROUNDS),5) --write docs

verify: $(BUF) $(DENY) ## check everything that can be checked without running it; writes nothing
	@.ci/install $(NEEDED_FOR_VERIFY)
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	@cargo build $(CARGO_FLAGS) --quiet --bin xtask
	$(TARGET)/xtask all
	$(TARGET)/xtask proto --buf $(BUF) $(if $(BASE),--base $(BASE))
	promtool check rules alerts/market.yaml
	promtool test rules alerts/tests.yaml
	$(DENY) --locked check --allow no-license-field bans licenses sources
	@$(MAKE) advisories || echo "WARNING: see above; an advisory published since does not fail the checks of an older commit"

advisories: $(DENY) ## look for known vulnerabilities in the crates we use; needs the network
	@if timeout 60 $(DENY) --locked fetch db >/dev/null 2>&1; \
	then $(DENY) --locked check --disable-fetch advisories; \
	else echo "NOT CHECKED: known vulnerabilities; the database at github.com/RustSec/advisory-db cannot be reached from here"; fi

fix: ## format, and mend what clippy can mend
	cargo clippy $(CARGO_FLAGS) --all-targets --fix --allow-dirty --allow-staged
	cargo fmt --all

build: ## build everything
	cargo build $(CARGO_FLAGS)

fetch: ## download PostgreSQL, Kafka, Temporal and NATS
	@cargo build $(CARGO_FLAGS) --bin backbone
	@$(BACKBONE) fetch

# The download runs while the rest is built; either one's failure is a failure.
ready:
	@.ci/install $(NEEDED)
	@cargo build $(CARGO_FLAGS) --bin backbone
	@$(BACKBONE) fetch & fetch=$$!; failed=0; \
	cargo build $(CARGO_FLAGS) || failed=1; \
	wait $$fetch || failed=1; \
	exit $$failed

tests-ready:
	@.ci/install $(NEEDED) $(NEEDED_FOR_TESTS)
	@$(MAKE) ready

$(BUF):
	GOBIN=$(@D) go install github.com/bufbuild/buf/cmd/buf@v1.57.2

$(GRPCURL):
	GOBIN=$(@D) go install github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4

$(ETCD):
	mkdir -p $(@D)
	cd engines/coordinator/etcd && GOWORK=off CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o $@ .

$(DENY):
	env -u CARGO_TARGET_DIR cargo install --quiet --locked cargo-deny --version 0.20.2 --root $(TOOLS)/cargo-deny-0.20.2
