#!/usr/bin/env bash
# rust-tests.sh: every test of the workspace but the documentation's. Meant to be run by test.sh, with servers beside it.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$REPO"

if tools="$("$REPO/tests/infra/cargo-tool.sh" nextest)"; then
  PATH="$PATH${tools:+:$tools}" cargo nextest run --workspace --features forebay/isal --locked
else
  say "cargo nextest is not to be had here: using cargo test"
  cargo test --workspace --features forebay/isal --locked --lib --bins --tests
fi
