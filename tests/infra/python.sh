#!/usr/bin/env bash
# python.sh REQUIREMENTS-FILE: prints the folder of programs of a virtual environment that holds what the file lists.
# Each content of the file, with each interpreter, has an environment of its own, so that branches that share a folder do
# not pull it from under each other; the three used last are kept.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

requirements="${1:?usage: python.sh REQUIREMENTS-FILE}"
name="$(basename "$requirements" .txt)"

need python3 python3 python3-venv
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  apt_install python3-venv || die "python3 has no venv module: install it (Debian: apt-get install python3-venv)"
fi
mkdir -p "$INFRA/python"

want() {
  python3 -VV
  # Environments cannot be moved.
  printf '%s\n' "$INFRA"
  cat "$requirements"
}

venv="$INFRA/python/$name-$(want | cksum | cut -d ' ' -f 1)"

install_venv() {
  local old
  if [ ! -f "$venv/.complete" ]; then
    say "python: installing $(basename "$requirements") into $venv"
    rm -rf "$venv"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" >&2 ||
      die "could not install what $requirements lists; is the Python package index reachable?"
  fi
  touch "$venv/.complete"
  # shellcheck disable=SC2012 # Only it sorts by age, and the names are ours.
  while read -r old; do
    rm -rf "$(dirname "$old")"
  done < <(ls -t "$INFRA/python/$name"-[0-9]*/.complete | tail -n +4)
}

locked "$INFRA/python/$name.lock" install_venv
printf '%s\n' "$venv/bin"
