#!/usr/bin/env bash
# s3.sh COMMAND [ARGUMENT...]: runs COMMAND with a real S3 server (SeaweedFS) of its own beside it, and exits as it does.
# The server has free ports on 127.0.0.1, fresh keys and an empty bucket, all told to COMMAND by the variables exported
# below, and is gone with its data when COMMAND ends. `s3.sh bash` gives a shell to try things in.
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
HERE="$REPO/tests/infra"
. "$HERE/server.sh"

[ $# -gt 0 ] || die "usage: s3.sh COMMAND [ARGUMENT...]"
PYTHON_BIN="$("$HERE/python.sh" "$REPO/tests/requirements.txt")"

# The sockets that a server has left have names that end in its ports.
remove_run() {
  local port
  while read -r port; do
    rm -f /tmp/seaweedfs-*-"$port".sock /tmp/seaweedfs-*-"$((port + 10000))".sock
  done < <(cat "$1/ports" 2>/dev/null)
  rm -rf "$1"
}

begin_run s3

secret() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

export AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true
export FOREBAY_S3_ENDPOINT FOREBAY_S3_BUCKET=forebay-test FOREBAY_S3_READONLY_KEY FOREBAY_S3_READONLY_SECRET
AWS_ACCESS_KEY_ID="writer-$(secret)"
AWS_SECRET_ACCESS_KEY="$(secret)"
FOREBAY_S3_READONLY_KEY="reader-$(secret)"
FOREBAY_S3_READONLY_SECRET="$(secret)"
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_ENDPOINT_URL AWS_ENDPOINT_URL_S3 AWS_DEFAULT_REGION
export NO_PROXY="127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY}"
export no_proxy="$NO_PROXY"

cat >"$RUN/s3.json" <<JSON
{
  "identities": [
    {
      "name": "writer",
      "credentials": [{"accessKey": "$AWS_ACCESS_KEY_ID", "secretKey": "$AWS_SECRET_ACCESS_KEY"}],
      "actions": ["Admin", "Read", "Write", "List", "Tagging"]
    },
    {
      "name": "reader",
      "credentials": [{"accessKey": "$FOREBAY_S3_READONLY_KEY", "secretKey": "$FOREBAY_S3_READONLY_SECRET"}],
      "actions": ["Read", "List"]
    }
  ]
}
JSON

start_server() {
  local ports
  "$PYTHON_BIN/python" "$HERE/free_ports.py" 5 >>"$RUN/ports"
  mapfile -t ports < <(tail -n 5 "$RUN/ports")
  FOREBAY_S3_ENDPOINT="http://127.0.0.1:${ports[0]}"
  rm -rf "$RUN/data" "$RUN/tmp"
  mkdir -p "$RUN/data" "$RUN/tmp"
  # Keys in its environment could stand in for its configuration; its log files go where TMPDIR points.
  launch env -u AWS_ACCESS_KEY_ID -u AWS_SECRET_ACCESS_KEY TMPDIR="$RUN/tmp" "$PYTHON_BIN/weed" -logtostderr=true mini \
    -dir="$RUN/data" -ip=127.0.0.1 -ip.bind=127.0.0.1 -master.telemetry=false -admin.ui=false -webdav=false \
    -s3.config="$RUN/s3.json" -s3.autoCreateBucket=false -s3.port.iceberg=0 -s3.port.lance=0 \
    -s3.port="${ports[0]}" -master.port="${ports[1]}" -volume.port="${ports[2]}" -filer.port="${ports[3]}" \
    -admin.port="${ports[4]}"
  "$PYTHON_BIN/python" "$HERE/s3_ready.py" "$server"
}

start_in_tries "S3 server" start_server

"$@"
