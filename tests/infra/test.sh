#!/usr/bin/env bash
# test.sh: what `make test` runs. Installs what is missing, runs every test with a real S3 server and a real broker beside
# it, then the checks of scripts and of deploy/, and ends with a summary.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
. "$REPO/tests/infra/steps.sh"
HERE="$REPO/tests/infra"
LOG="$INFRA/log"
mkdir -p "$LOG"
rm -f "$LOG"/rust-tests.log "$LOG"/doc-tests.log "$LOG"/skipped
cd "$REPO"

need_to_build
need curl curl ca-certificates

# count passed, count failed: how many tests did, by the closing lines of nextest and of cargo test.
count() {
  cat "$LOG"/rust-tests.log "$LOG"/doc-tests.log 2>/dev/null | sed 's/\x1b\[[0-9;]*m//g' |
    grep -E '^ *Summary \[|^test result: ' | grep -oE "[0-9]+ $1" | awk '{ sum += $1 } END { print sum + 0 }'
}

# A pipe hides the terminal from cargo.
if [ -t 1 ]; then export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-always}"; fi

PYTHON_BIN="$("$HERE/python.sh" "$REPO/tests/requirements.txt")"
export FOREBAY_PYTHON="$PYTHON_BIN/python"
if FOREBAY_NODE="$("$HERE/node.sh")"; then export FOREBAY_NODE; else unset FOREBAY_NODE; fi
has chromium || apt_install chromium || say "chromium is not to be had: no page sends events"
has testssl || apt_install testssl.sh bsdextrautils || say "testssl is not to be had: TLS is looked at with openssl alone"
if FOREBAY_ISSUER="$("$HERE/node.sh" issuer tests/e2e/issuer)"; then export FOREBAY_ISSUER; else unset FOREBAY_ISSUER; fi
# Iterators expire on a clock that was set back.
has faketime || apt_install faketime || say "faketime is not to be had: no iterator expires"
if FOREBAY_PROMTOOL="$("$HERE/promtool.sh")"; then export FOREBAY_PROMTOOL; else unset FOREBAY_PROMTOOL; fi
if [ -z "${FOREBAY_TEST_DATA:-}" ] && [ -d "$REPO/../shared/data" ]; then
  FOREBAY_TEST_DATA="$(cd "$REPO/../shared/data" && pwd)"
fi
if [ -n "${FOREBAY_TEST_DATA:-}" ]; then
  export FOREBAY_TEST_DATA
else
  say "no folder ../shared/data and no FOREBAY_TEST_DATA: tests with real events will skip themselves"
fi
# A test that skips itself appends a line with its name and reason.
export FOREBAY_SKIPPED_FILE="$LOG/skipped"

if [ -x tests/schema-suite/fetch ]; then step "fetch the JSON Schema test suite" tests/schema-suite/fetch; fi
STEP_LOG="$LOG/rust-tests.log" step "tests" "$HERE/s3.sh" "$HERE/kafka.sh" "$HERE/rust-tests.sh"
STEP_LOG="$LOG/doc-tests.log" step "documentation tests" cargo test --workspace --features forebay/isal --doc --locked
step "scripts and deploy/" "$HERE/lint-deploy.sh"

if [ -s "$LOG/skipped" ]; then
  printf '\nskipped:\n'
  sort -u "$LOG/skipped" | sed 's/^/  /'
fi
verdict=0
summary "make test" || verdict=1
printf '\ntests: %s passed, %s failed\n' "$(count passed)" "$(count failed)"
exit "$verdict"
