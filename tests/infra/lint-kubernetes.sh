# shellcheck shell=bash disable=SC2154
# Sourced by lint-deploy.sh, which has `check`, `cannot`, $tools and $forebay: everything in deploy/kubernetes.

# Manifests: what every overlay makes, against the schemas of Kubernetes, against each other, and through the program.
kubernetes_checks() {
  local kubectl folder overlay name pairs=()
  if ! kubectl="$("$REPO/tests/infra/kubectl.sh")"; then
    cannot "deploy/kubernetes" "see above"
    return
  fi
  folder="$(mktemp -d "$INFRA/fetch.XXXXXX")"
  for overlay in deploy/kubernetes/overlays/* deploy/kubernetes/single; do
    name="$(basename "$overlay")"
    check "kubectl kustomize $overlay" render "$kubectl" "$overlay" "$folder/$name.yaml"
    check "kubernetes-validate $overlay" validate "$folder/$name.yaml"
    pairs+=("$overlay=$folder/$name.yaml")
  done
  check "deploy/kubernetes against itself" "$tools/python" tests/infra/check_kubernetes.py "${pairs[@]}"
  check "that this finds what is wrong" "$tools/python" tests/infra/check_kubernetes_test.py "$folder"
  if [ ! -x "$forebay" ]; then
    cannot "forebay check in deploy/kubernetes" "build the program first (cargo build)"
  else
    check "forebay check in deploy/kubernetes" \
      "$tools/python" tests/infra/check_kubernetes.py --forebay "$forebay" "${pairs[@]}"
  fi
  rm -rf "$folder"
}

# render KUBECTL OVERLAY FILE
render() {
  "$1" kustomize "$2" >"$3"
}

# validate FILE: by the schemas that come with kubernetes-validate. It has none of ServiceMonitor, which
# check_kubernetes.py looks at.
validate() {
  local own
  own="$(mktemp "$INFRA/fetch.XXXXXX")"
  "$tools/python" - "$1" >"$own" <<'PYTHON' || return 1
import sys, yaml
documents = yaml.safe_load_all(open(sys.argv[1]))
yaml.safe_dump_all((one for one in documents if one["kind"] != "ServiceMonitor"), sys.stdout)
PYTHON
  "$tools/kubernetes-validate" --quiet --strict "$own"
  local code=$?
  rm -f "$own"
  return "$code"
}
