#!/usr/bin/env bash
# cargo-tool.sh NAME: prints a folder to put on PATH so that `cargo NAME` works; nothing if it works already.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

name="${1:?usage: cargo-tool.sh NAME}"
cargo "$name" --version >/dev/null 2>&1 && exit 0
folder="$("$REPO/tests/infra/python.sh" "$REPO/tests/requirements-cargo.txt")"
PATH="$PATH:$folder" cargo "$name" --version >/dev/null || die "cargo $name does not run on this machine"
printf '%s\n' "$folder"
