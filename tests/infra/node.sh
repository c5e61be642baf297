#!/usr/bin/env bash
# node.sh [NAME FOLDER]: prints a folder with node_modules as FOLDER/package-lock.json lists them, or
# tests/e2e/aws/javascript/package-lock.json. The folder is made anew when that file or the version of Node.js has changed.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

name="${1:-node}"
source="$REPO/${2:-tests/e2e/aws/javascript}"
folder="$INFRA/$name"
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
locked "$INFRA/$name.lock" install_modules
printf '%s\n' "$folder"
