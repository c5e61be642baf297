#!/usr/bin/env bash
# crash.sh: what `make crash` runs: every row of the crash matrix in its long form. FOREBAY_CRASH_KILLS says how many
# random kills the longest row has, FOREBAY_CRASH_SEED repeats a run's choices.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
cd "$REPO"

need_to_build
# Rows that need them tell why they are skipped where they are not to be had.
has faketime || apt_install faketime || say "faketime is not to be had: the clock will not jump"
has fiu-ctrl || apt_install fiu-utils libfiu0 || say "libfiu is not to be had: no call will fail"

# Rows about brokers and object stores that are real.
beside=("$REPO/tests/infra/s3.sh" "$REPO/tests/infra/kafka.sh")
if ! "$REPO/tests/infra/python.sh" "$REPO/tests/requirements.txt" >/dev/null; then
  say "no broker and no S3 server are to be had: rows that need them are skipped"
  beside=()
fi

TARGET="${CARGO_TARGET_DIR:-$REPO/target}"
rm -rf "$TARGET/crash-matrix" "$TARGET/crash-matrix.md"
mkdir -p "$INFRA/log"
export FOREBAY_SKIPPED_FILE="$INFRA/log/crash-skipped"
rm -f "$FOREBAY_SKIPPED_FILE"
export FOREBAY_CRASH_KILLS="${FOREBAY_CRASH_KILLS:-200}"
FOREBAY_CRASH_SEED="${FOREBAY_CRASH_SEED:-$(date +%s)}"
export FOREBAY_CRASH_SEED
say "FOREBAY_CRASH_KILLS=$FOREBAY_CRASH_KILLS FOREBAY_CRASH_SEED=$FOREBAY_CRASH_SEED"

verdict=0
if tools="$("$REPO/tests/infra/cargo-tool.sh" nextest)"; then
  PATH="$PATH${tools:+:$tools}" "${beside[@]}" cargo nextest run -p forebay --features isal --test crash --profile crash --locked || verdict=1
else
  say "cargo nextest is not to be had here: using cargo test"
  "${beside[@]}" cargo test -p forebay --test crash --locked -- --test-threads 2 || verdict=1
fi

if [ -s "$FOREBAY_SKIPPED_FILE" ]; then
  printf '\nskipped:\n'
  sort -u "$FOREBAY_SKIPPED_FILE" | sed 's/^/  /'
fi
printf '\n'
if [ -f "$TARGET/crash-matrix.md" ]; then
  cat "$TARGET/crash-matrix.md"
else
  say "no row has come to its end"
  verdict=1
fi
exit "$verdict"
