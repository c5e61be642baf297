# shellcheck shell=bash
# Sourced, behind setup.sh, by scripts that run a command with a server of its own beside it. Whoever sources it calls
# begin_run, then start_in_tries with a function that calls launch, and may define a remove_run of its own.

RUN=
RUN_KIND=
server=

# remove_run FOLDER: everything that a run has left.
remove_run() { rm -rf "$1"; }

# The kernel ends the server with this script, even where the script is killed and cannot.
guard=()
if has setsid && has setpriv; then guard=(setsid setpriv --pdeathsig KILL); fi

# begin_run KIND: makes the folder RUN, which is removed when the script ends, and removes what killed runs of this kind
# have left.
begin_run() {
  local old
  RUN_KIND="$1"
  for old in "$INFRA/$RUN_KIND".*; do
    if [ -d "$old" ] && ! kill -0 "$(cat "$old/owner" 2>/dev/null || echo none)" 2>/dev/null; then remove_run "$old"; fi
  done
  RUN="$(mktemp -d "$INFRA/$RUN_KIND.XXXXXX")"
  echo "$$" >"$RUN/owner"
  trap leave EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# launch COMMAND...: starts the server, whose process id is then `server`. What it prints goes to RUN/log.
launch() {
  "${guard[@]}" "$@" >"$RUN/log" 2>&1 </dev/null &
  server=$!
}

# Its data is thrown away, so there is nothing that it would have to save.
stop_server() {
  [ -n "$server" ] || return 0
  kill -KILL "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
  server=
}

leave() {
  local code=$?
  stop_server
  if [ "$code" != 0 ] && [ -f "$RUN/log" ]; then mv "$RUN/log" "$INFRA/$RUN_KIND-failed.log"; fi
  remove_run "$RUN"
  exit "$code"
}

# start_in_tries NAME COMMAND: COMMAND starts the server on ports that were free when it looked. Another process may have
# taken one since: then it is called again, up to three times.
start_in_tries() {
  local name="$1" try
  shift
  for try in 1 2 3; do
    if "$@"; then return 0; fi
    say "$name did not start (try $try); the end of its log:"
    tail -n 20 "$RUN/log" >&2
    stop_server
  done
  die "no $name"
}
