#!/usr/bin/env bash
# kafka.sh COMMAND [ARGUMENT...]: runs COMMAND with a real broker that speaks the protocol of Kafka (noida-db) of its own
# beside it, and exits as it does. The broker has a free port on 127.0.0.1 and no topics, and is gone with its data when
# COMMAND ends. `kafka.sh bash` gives a shell to try things in. COMMAND is told:
#   FOREBAY_KAFKA          the broker's bootstrap servers, host:port
#   FOREBAY_KAFKA_PROGRAM  its binary, for tests that need a broker that they may stop
#   FOREBAY_KAFKA_FOLDER   where the data of such brokers go, to be thrown away with the rest
#   FOREBAY_PYTHON         a Python that reads topics without our code
. "$(dirname "${BASH_SOURCE[0]}")/setup.sh"
HERE="$REPO/tests/infra"
. "$HERE/server.sh"

[ $# -gt 0 ] || die "usage: kafka.sh COMMAND [ARGUMENT...]"
PYTHON_BIN="$("$HERE/python.sh" "$REPO/tests/requirements.txt")"

begin_run kafka

# The file itself: what is installed as a program of this name is a Python script that would stand between us and it.
FOREBAY_KAFKA_PROGRAM="$("$PYTHON_BIN/python" -c \
  'import importlib.resources as r; print(r.files("noida_db") / "noida-db")')"
[ -f "$FOREBAY_KAFKA_PROGRAM" ] || die "noida-db has no binary for this system: $FOREBAY_KAFKA_PROGRAM"
chmod +x "$FOREBAY_KAFKA_PROGRAM"
FOREBAY_KAFKA_FOLDER="$RUN/brokers"
FOREBAY_PYTHON="$PYTHON_BIN/python"
mkdir -p "$FOREBAY_KAFKA_FOLDER"
export FOREBAY_KAFKA FOREBAY_KAFKA_PROGRAM FOREBAY_KAFKA_FOLDER FOREBAY_PYTHON

start_server() {
  local port
  port="$("$PYTHON_BIN/python" "$HERE/free_ports.py" 1)"
  FOREBAY_KAFKA="127.0.0.1:$port"
  rm -rf "$RUN/data"
  launch "$FOREBAY_KAFKA_PROGRAM" start --data-dir "$RUN/data" --host 127.0.0.1 --only kafka --kafka-port "$port"
  "$PYTHON_BIN/python" "$HERE/kafka_ready.py" "$server"
}

start_in_tries "broker" start_server

"$@"
