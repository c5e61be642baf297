#!/usr/bin/env bash
# promtool.sh: prints where promtool is; fetches it if need be. Fails, with a message, where it cannot be had.
# Debian's package is only unpacked, not installed: installing it would start a Prometheus server on this machine.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

kept="$INFRA/promtool"

fetch_promtool() {
  [ -x "$kept" ] && return 0
  has apt-get && has dpkg-deb || return 1
  local folder
  folder="$(mktemp -d "$INFRA/fetch.XXXXXX")"
  (
    cd "$folder" || exit 1
    if ! apt-get download -qq prometheus >/dev/null 2>&1; then
      [ "$(id -u)" = 0 ] && apt-get update -qq >&2 && apt-get download -qq prometheus >/dev/null 2>&1
    fi
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar -x ./usr/bin/promtool
    mv usr/bin/promtool "$kept"
  )
  local code=$?
  rm -rf "$folder"
  return "$code"
}

if has promtool; then
  command -v promtool
elif locked "$INFRA/promtool.lock" fetch_promtool && "$kept" --version >/dev/null 2>&1; then
  printf '%s\n' "$kept"
else
  say "promtool: not here and not to be had with apt; put it on PATH to check metrics and alert rules"
  exit 1
fi
