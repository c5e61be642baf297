#!/usr/bin/env bash
# python.sh REQUIREMENTS-FILE: prints the folder of programs of a virtual environment that holds what the file lists.
# The environment is made anew when the file, the interpreter or its place has changed.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"

requirements="${1:?usage: python.sh REQUIREMENTS-FILE}"
name="$(basename "$requirements" .txt)"
venv="$INFRA/python/$name"
stamp="$venv/.complete"

want() {
  python3 -VV
  printf '%s\n' "$venv"
  cat "$requirements"
}

install_venv() {
  [ "$(want)" = "$(cat "$stamp" 2>/dev/null)" ] && return 0
  say "python: installing $(basename "$requirements") into $venv"
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" >&2 ||
    die "could not install what $requirements lists; is the Python package index reachable?"
  want >"$stamp"
}

need python3 python3 python3-venv
if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  apt_install python3-venv || die "python3 has no venv module: install it (Debian: apt-get install python3-venv)"
fi
mkdir -p "$INFRA/python"
locked "$venv.lock" install_venv
printf '%s\n' "$venv/bin"
