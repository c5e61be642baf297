#!/usr/bin/env bash
# clean.sh: removes what these scripts put into $INFRA, and nothing else: the folder may have been chosen by the user.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

for run in "$INFRA"/s3.* "$INFRA"/kafka.*; do
  if [ -d "$run" ] && kill -0 "$(cat "$run/owner" 2>/dev/null || echo none)" 2>/dev/null; then
    die "a server is running in $run: end that run first"
  fi
done
rm -rf "$INFRA"/python "$INFRA"/node "$INFRA"/issuer "$INFRA"/haproxy "$INFRA"/log "$INFRA"/s3.* "$INFRA"/kafka.* "$INFRA"/fetch.* "$INFRA"/schema-suite
rm -f "$INFRA"/promtool "$INFRA"/{promtool,node,issuer,haproxy}.lock "$INFRA"/s3-failed.log "$INFRA"/kafka-failed.log "$INFRA"/advisories.log
rmdir "$INFRA" 2>/dev/null || say "left in place, because it holds other files: $INFRA"
