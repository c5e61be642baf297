#!/usr/bin/env bash
# lint-deploy.sh: checks the scripts and everything in deploy/ with what can be had on this machine, runs every check
# even if one has failed, and tells which ones could not be run.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
. "$REPO/tests/infra/lint-kubernetes.sh"
cd "$REPO"

failed=()

# check NAME COMMAND...: prints what COMMAND says only if it fails.
check() {
  local name="$1" said
  shift
  if said="$("$@" 2>&1)"; then
    printf 'ok       %s\n' "$name"
  else
    printf 'FAILED   %s\n%s\n' "$name" "$said"
    failed+=("$name")
  fi
}

cannot() {
  printf 'not run  %s: %s\n' "$1" "$2"
}

bash_scripts() {
  printf '%s\n' .ci/run tests/infra/*.sh
  # Other scripts, wherever they are bash.
  grep -rlE --exclude-dir=infra '^#!.*\bbash\b' tests deploy || true
}

unit_checks() {
  local folder
  folder="$(mktemp -d "$INFRA/fetch.XXXXXX")"
  # The program need not be installed where its unit is checked.
  sed 's#^\(Exec[A-Za-z]*=\)/usr/local/bin/forebay#\1/bin/true#' deploy/forebay.service >"$folder/forebay.service"
  check "systemd-analyze verify deploy/forebay.service" systemd-analyze verify "$folder/forebay.service"
  # The scale goes from 0 (shut in) to 10; the threshold counts tenths.
  if systemd-analyze --help | grep -q -- --offline; then
    check "systemd-analyze security deploy/forebay.service" \
      systemd-analyze security --offline=true --threshold=15 --no-pager "$folder/forebay.service"
  else
    cannot "systemd-analyze security deploy/forebay.service" "this systemd cannot do it offline"
  fi
  rm -rf "$folder"
}

# Built by the tests; not built for this alone, because that takes minutes.
forebay="${CARGO_TARGET_DIR:-target}/debug/forebay"

if tools="$("$REPO/tests/infra/python.sh" "$REPO/tests/requirements-lint.txt")"; then
  mapfile -t scripts < <(bash_scripts)
  check "shellcheck (${#scripts[@]} scripts)" "$tools/shellcheck" -x "${scripts[@]}"
  check "yamllint deploy/" "$tools/yamllint" --strict .yamllint.yaml deploy
  check "hadolint deploy/Dockerfile" "$tools/hadolint" deploy/Dockerfile
  for file in deploy/compose*.yaml; do
    check "compose schema $file" "$tools/check-jsonschema" --builtin-schema vendor.compose-spec "$file"
    check "compose-lint $file" "$tools/compose-lint" check --quiet --no-env "$file"
  done
  kubernetes_checks
else
  cannot "shellcheck, yamllint, hadolint, compose, deploy/kubernetes" "the linters could not be installed"
fi

if "$REPO/tests/infra/haproxy.sh" -v >/dev/null; then
  check "haproxy -c deploy/fleet/haproxy.cfg" "$REPO/tests/infra/haproxy.sh" -c -f deploy/fleet/haproxy.cfg
else
  cannot "haproxy -c deploy/fleet/haproxy.cfg" "see above"
fi

if promtool="${FOREBAY_PROMTOOL:-$("$REPO/tests/infra/promtool.sh")}"; then
  for file in deploy/prometheus*.yml; do
    check "promtool check config $file" "$promtool" check config "$file"
  done
  check "promtool check rules deploy/alerts.yml" "$promtool" check rules deploy/alerts.yml
  check "promtool test rules deploy/alerts.test.yml" "$promtool" test rules deploy/alerts.test.yml
else
  cannot "promtool" "see above"
fi

if has systemd-analyze; then unit_checks; else cannot "systemd-analyze" "there is no systemd here"; fi

if [ -x "$forebay" ]; then
  check "forebay check deploy/pipelines" env FOREBAY_API_KEY=only-for-this-check "$forebay" check deploy/pipelines --config deploy/forebay.toml
  # check_operations.py looks whether compose.fleet.yaml sets all of these.
  check "forebay check deploy/fleet" env FOREBAY_API_KEY=only-for-this-check FOREBAY_NODE=edge-1 FOREBAY_ROLE=edge \
    FOREBAY_TOKEN_SECRET=only-for-this-check \
    FOREBAY_KAFKA=kafka:9092 FOREBAY_BUCKET=lake FOREBAY_MEMORY_BUDGET=256MiB AWS_REGION=us-east-1 \
    "$forebay" check deploy/fleet/pipelines --config deploy/fleet/forebay.toml
else
  cannot "forebay check deploy/pipelines, deploy/fleet" "build the program first (cargo build)"
fi

check "docs/operations.md against alerts, metrics and time-outs" python3 tests/infra/check_operations.py
check "tables and plots of docs/sizing.md, docs/scaling.md against what was measured" python3 loadtest/sizing
check "tests of loadtest/sizing" python3 -m unittest discover --start-directory loadtest/sizing
check "docs/security.md against tests" python3 tests/infra/check_security.py

[ "${#failed[@]}" = 0 ] || die "failed: ${failed[*]}"
