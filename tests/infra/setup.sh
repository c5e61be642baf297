# shellcheck shell=bash
# Sourced by the scripts beside it: where things are kept, and how what is missing gets here.
set -euo pipefail

REPO="$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)"
INFRA="${FOREBAY_INFRA_DIR:-$REPO/.infra}"
mkdir -p "$INFRA"
INFRA="$(cd "$INFRA" && pwd)"

say() { printf '%s\n' "$*" >&2; }

die() {
  say "error: $*"
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

# apt_install PACKAGE...: false where there is no apt or where we may not use it.
apt_install() {
  has apt-get && [ "$(id -u)" = 0 ] || return 1
  say "installing with apt: $*"
  apt-get update -qq >&2 || say "apt-get update failed; trying with the lists that are there"
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

# need PROGRAM PACKAGE...: the program must be there; PACKAGE... bring it on Debian.
need() {
  local program="$1"
  shift
  has "$program" && return 0
  apt_install "$@" && has "$program" && return 0
  die "$program is missing: install it (Debian: apt-get install $*) and run this again"
}

# need_to_build: Rust, and what librdkafka, which is in the binary, is compiled with: make, compilers of C and C++, and
# OpenSSL's headers, which pkg-config finds (or OPENSSL_DIR tells); and what the feature `isal` is compiled with.
need_to_build() {
  has cargo || die "cargo is missing: install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$REPO/Cargo.toml") or newer (https://rustup.rs)"
  need cc gcc libc6-dev
  need c++ g++
  need make make
  need nasm nasm
  need autoconf autoconf
  need automake automake
  need libtoolize libtool
  [ -z "${OPENSSL_DIR:-}" ] || return 0
  need pkg-config pkg-config
  pkg-config --exists openssl && return 0
  apt_install libssl-dev && pkg-config --exists openssl && return 0
  die "OpenSSL's headers are missing: install them (Debian: apt-get install libssl-dev; Fedora: openssl-devel) and run this again"
}

# locked FILE COMMAND...: one at a time, so that two runs in one checkout do not install over each other.
locked() {
  local file="$1"
  shift
  if has flock; then
    (
      flock 9
      "$@"
    ) 9>"$file"
  else
    "$@"
  fi
}
