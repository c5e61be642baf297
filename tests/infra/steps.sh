# shellcheck shell=bash
# Sourced by scripts that run several steps: each step runs even if one before it has failed, and the summary at the
# end tells what each came to and how long it took.

STEPS=()
STEPS_FAILED=0

# step NAME COMMAND...: COMMAND must be a program, not a function, so that its own `set -e` holds. With STEP_LOG=FILE
# in front, what it prints is kept there too. Needs `set -o pipefail`.
step() {
  local name="$1" began="$SECONDS" verdict=ok
  shift
  printf '\n==> %s\n' "$name"
  if ! "$@" 2>&1 | tee "${STEP_LOG:-/dev/null}"; then
    verdict=FAILED
    STEPS_FAILED=$((STEPS_FAILED + 1))
    printf '==> %s: FAILED\n' "$name"
  fi
  STEPS+=("$(printf '%-44s %5d s  %s' "$name" "$((SECONDS - began))" "$verdict")")
}

# summary TITLE: prints the steps. False if one of them has failed.
summary() {
  printf '\n%s\n' "$1"
  printf '  %s\n' "${STEPS[@]}"
  printf '  %-44s %5d s\n' total "$SECONDS"
  [ "$STEPS_FAILED" = 0 ]
}
