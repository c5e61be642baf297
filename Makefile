# Everything is run from here: `make` alone lists it. The work is done by the scripts in tests/infra/.

.DEFAULT_GOAL := help
.PHONY: help test check bench crash profiled deny deploy-lint clean-infra

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: ## install what the tests need and run all of them (plain `cargo test` runs those that need no server)
	@tests/infra/test.sh

check: ## formatting and lints, warnings as errors
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --features forebay/isal --locked -- -D warnings

bench: ## measure the stages beside the limits of this machine: one table, and what earlier runs have shown of each figure
	@tests/infra/s3.sh cargo bench --locked --bench limits

crash: ## the crash matrix in its long form: hundreds of kills, full disks, ill stores; target/crash-matrix.md has its table
	@tests/infra/crash.sh

profiled: ## the fastest program: built by a profile of generated work; target/profiled/forebay, about 25 minutes on 2 cores
	@tests/infra/s3.sh tests/infra/kafka.sh deploy/profiled-build.sh --features isal,mimalloc-for-c

deny: ## licences, banned crates, sources and known vulnerabilities of the dependencies
	@tests/infra/deny.sh

deploy-lint: ## check the scripts and everything in deploy/
	@tests/infra/lint-deploy.sh

clean-infra: ## remove what the scripts have installed or left in .infra/ (or FOREBAY_INFRA_DIR)
	@tests/infra/clean.sh
