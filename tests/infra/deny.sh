#!/usr/bin/env bash
# deny.sh: licences, banned crates and sources of everything that the program is built from, and known
# vulnerabilities where the RustSec database can be fetched. The rules are in deny.toml.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$REPO"

tools="$("$REPO/tests/infra/cargo-tool.sh" deny)"
PATH="$PATH${tools:+:$tools}"

checks=(licenses bans sources)
# Without a limit, a network that swallows packets would hold this up for minutes.
if timeout 60 cargo deny --locked fetch db >"$INFRA/advisories.log" 2>&1; then
  checks+=(advisories)
else
  say "the RustSec advisory database cannot be fetched here: known vulnerabilities are NOT checked in this run"
fi
cargo deny --locked check --hide-inclusion-graph "${checks[@]}"
