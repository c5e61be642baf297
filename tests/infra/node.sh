#!/usr/bin/env bash
# node.sh: prints a folder with node_modules as tests/e2e/aws/javascript/package-lock.json lists them. The folder is made
# anew when that file or the version of Node.js has changed.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

source="$REPO/tests/e2e/aws/javascript"
folder="$INFRA/node"
stamp="$folder/.complete"

want() {
  node --version
  cat "$source/package-lock.json"
}

install_modules() {
  [ "$(want)" = "$(cat "$stamp" 2>/dev/null)" ] && return 0
  say "node: installing what $source/package-lock.json lists into $folder"
  rm -rf "$folder"
  mkdir -p "$folder"
  cp "$source/package.json" "$source/package-lock.json" "$folder/"
  (cd "$folder" && npm ci --no-audit --no-fund --silent >&2) ||
    die "could not install what $source/package-lock.json lists; is the npm registry reachable?"
  want >"$stamp"
}

need node nodejs
need npm npm
locked "$INFRA/node.lock" install_modules
printf '%s\n' "$folder"
