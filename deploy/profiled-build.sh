#!/usr/bin/env bash
# profiled-build.sh [CARGO OPTION...]: the release build, twice: the first one counts how often each piece of code runs
# while it takes, keeps, delivers and shows generated events, and the second one is laid out by these counts. It takes
# the program itself, not the C libraries. Options go to cargo: --features isal,mimalloc-for-c
#
# Under tests/infra/s3.sh and tests/infra/kafka.sh deliveries to an object store and into Kafka are counted as well.
# `make profiled` does that. The program is target/profiled/forebay. Needs what `cargo build --release` needs, rustup, and 8 GB of disk. RUSTFLAGS are
# kept, so that RUSTFLAGS=-Ctarget-cpu=native is for this very machine.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '\n==> %s\n' "$*" >&2; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

built="$PWD/target/profiled"
counts="$built/counts"
profile="$built/forebay.profdata"
host="$(rustc -vV | sed -n 's/^host: //p')"
# Named, so that the flags are not for build scripts and macros as well.
target=(--target "$host")
program=(--release --locked --package forebay --bin forebay "$@")

llvm_profdata() {
  printf '%s\n' "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata"
}

# build FLAG FOLDER
build() {
  RUSTFLAGS="${RUSTFLAGS:-} $1" cargo build "${program[@]}" "${target[@]}" --target-dir "$built/$2"
}

# delivery NAME LINE...: a delivery of the stream `others`.
delivery() {
  printf '\n[[delivery]]\nname = "%s"\n' "$1"
  shift
  printf '%s\n' "$@"
}

# A stream for what those of `pipelines` do not do: code that no count has seen is laid out as if it never ran.
others() {
  local object
  printf '[stream]\nname = "others"\nshards = 2\ndurability = "memory"\n'
  printf '[ingest]\npartition_key = "/session_id"\nschema = "clickstream.schema.json"\n'
  delivery orc 'format = "orc"'
  delivery zstd 'format = "json"' 'compression = "zstd"'
  delivery sorted 'format = "parquet"' 'compression = "zstd"' 'sort_by = ["session_id"]'
  if [ -n "${FOREBAY_S3_ENDPOINT:-}" ]; then
    object="url = \"s3://$FOREBAY_S3_BUCKET/profile/\", endpoint = \"$FOREBAY_S3_ENDPOINT\", allow_http = true"
    delivery store "sink = { $object }" 'format = "raw"' 'compression = "none"' 'buffer = { size = "8MiB", interval = "60s" }'
  fi
  if [ -n "${FOREBAY_KAFKA:-}" ]; then
    delivery kafka 'sink = { kafka = "main", topic = "profile", compression = "lz4" }'
  fi
}

# What the server is to do while it counts. Each load takes a few seconds, so that the shares of the kinds of work are
# about those of their code, not of a day of somebody's.
train() {
  local folder server url profile
  local load=("${CARGO_TARGET_DIR:-target}/release/forebay-load" run --duration 4s --retry)
  folder="$(mktemp -d "$built/node.XXXXXX")"
  cp -r pipelines "$folder"
  others >"$folder/pipelines/others.toml"
  cat >"$folder/forebay.toml" <<'TOML'
[server]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"

[[access_key]]
id = "PROFILE"
secret = "of-this-build-alone"
allow = ["kinesis:*"]
streams = ["*"]
TOML
  if [ -n "${FOREBAY_KAFKA:-}" ]; then
    printf '\n[[kafka]]\nname = "main"\nbrokers = ["%s"]\n' "$FOREBAY_KAFKA" >>"$folder/forebay.toml"
  fi
  (
    cd "$folder"
    LLVM_PROFILE_FILE="$counts/%m_%p.profraw" exec "$built/counting/$host/release/forebay" serve pipelines --config forebay.toml
  ) >"$folder/said" 2>"$folder/log" &
  server=$!
  # shellcheck disable=SC2064 # now: the variables are gone when it ends
  trap "kill $server 2>/dev/null || true" EXIT
  for _ in $(seq 300); do
    grep -q 'listens on' "$folder/said" && break
    kill -0 "$server" 2>/dev/null || die "the server does not start: $(cat "$folder/log")"
    sleep 0.1
  done
  url="$(sed -n 's/.*listens on \(http[^, ]*\).*/\1/p' "$folder/said")"
  [ -n "$url" ] || die "the server does not tell where it listens: $(cat "$folder/log")"
  load+=(--url "$url")
  for profile in clickstream iot telemetry; do
    "${load[@]}" --profile "$profile" --batch 100
    "${load[@]}" --profile "$profile" --batch 1 --connections 64
  done
  "${load[@]}" --profile clickstream --batch 20 --rate 10000 --tap 8
  "${load[@]}" --profile clickstream --batch 20 --protocol http2
  "${load[@]}" --profile clickstream --stream others --batch 100
  "${load[@]}" --profile clickstream --stream others --batch 20 --protocol websocket
  AWS_ACCESS_KEY_ID=PROFILE AWS_SECRET_ACCESS_KEY=of-this-build-alone AWS_REGION=us-east-1 \
    "${load[@]}" --profile clickstream --batch 500 --protocol kinesis
  AWS_ACCESS_KEY_ID=PROFILE AWS_SECRET_ACCESS_KEY=of-this-build-alone AWS_REGION=us-east-1 \
    "${load[@]}" --profile iot --batch 500 --protocol kinesis-cbor
  # Counts are written when it ends.
  kill -TERM "$server"
  wait "$server" || die "the server has not drained: $(tail "$folder/log")"
  trap - EXIT
  rm -r "$folder"
}

[ -x "$(llvm_profdata)" ] || rustup component add llvm-tools
mkdir -p "$built"
rm -rf "$counts"
say "a program that counts"
build "-Cprofile-generate=$counts" counting
say "a load for it"
cargo build --release --locked --package forebay-load
train
"$(llvm_profdata)" merge --output "$profile" "$counts"
say "the program"
build "-Cprofile-use=$profile" program
cp "$built/program/$host/release/forebay" "$built/forebay"
say "$built/forebay"
