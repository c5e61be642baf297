#!/usr/bin/env bash
# kubectl.sh: prints where a kubectl is; fetches one from the Python index if need be. Fails, with a message, where none
# can be had. It only puts manifests together: no cluster is looked for.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

if has kubectl && kubectl kustomize --help >/dev/null 2>&1; then
  command -v kubectl
elif tools="$("$REPO/tests/infra/python.sh" "$REPO/tests/requirements-kubectl.txt")"; then
  printf '%s\n' "$tools/kubectl"
else
  say "kubectl: not here and not to be had; put it on PATH to check deploy/kubernetes"
  exit 1
fi
