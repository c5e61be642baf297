#!/usr/bin/env bash
# haproxy.sh ARGUMENT...: runs HAProxy; fetches it if need be. Fails with 127, and a message, where it cannot be had.
# Debian's packages are only unpacked, not installed: installing them would start a server on this machine.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

kept="$INFRA/haproxy"

fetch_haproxy() {
  [ -x "$kept/usr/sbin/haproxy" ] && return 0
  has apt-get && has dpkg-deb || return 1
  local folder
  folder="$(mktemp -d "$INFRA/fetch.XXXXXX")"
  (
    cd "$folder" || exit 1
    packages=(haproxy liblua5.3-0 libopentracing-c-wrapper0 libopentracing1)
    if ! apt-get download -qq "${packages[@]}" >/dev/null 2>&1; then
      [ "$(id -u)" = 0 ] && apt-get update -qq >&2 && apt-get download -qq "${packages[@]}" >/dev/null 2>&1
    fi
    for package in *.deb; do dpkg-deb --extract "$package" files || exit 1; done
    rm -rf "$kept"
    mv files "$kept"
  )
  local code=$?
  rm -rf "$folder"
  return "$code"
}

if has haproxy; then
  exec haproxy "$@"
elif locked "$INFRA/haproxy.lock" fetch_haproxy; then
  libraries=("$kept"/usr/lib/*-linux-gnu*)
  LD_LIBRARY_PATH="${libraries[0]}" exec "$kept/usr/sbin/haproxy" "$@"
else
  say "haproxy: not here and not to be had with apt; put it on PATH to check deploy/fleet/haproxy.cfg"
  exit 127
fi
