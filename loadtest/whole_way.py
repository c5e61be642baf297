#!/usr/bin/env python3
"""What the whole way costs: real events over HTTP, durable before the answer, to files in an S3-compatible store.

    cargo build --release --workspace
    tests/infra/s3.sh loadtest/whole_way.py EVENTS.ndjson.gz [--rounds 5] [--seconds 8] [--paths parquet,gzip]

The server has core 0, the load and the store have core 1. Batches of 100, a schema of twelve fields, three of them the load's own, and a partition key,
four shards, `fsync`. CPU time and memory of the server are those of its whole life: start, load, drain and the last
upload. Paths take turns in each round; printed are median, least and most. Each lake is verified: a record that is
missing, doubled or damaged ends the run with an error.
"""

import argparse
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import uuid

RELEASE = pathlib.Path(__file__).resolve().parent.parent / "target" / "release"
START_SECONDS = 60
TEXT = {"type": ["string", "null"], "maxLength": 2048}
SCHEMA = {
    "type": "object",
    "required": ["client_ip", "timestamp", "method", "path", "status"],
    "properties": {
        "client_ip": {"type": "string", "minLength": 7, "maxLength": 45},
        "timestamp": {"type": "string", "format": "date-time"},
        "method": {"type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]},
        "path": {"type": "string", "minLength": 1, "maxLength": 2048},
        "protocol": TEXT,
        "status": {"type": "integer", "minimum": 100, "maximum": 599},
        "bytes": {"type": ["integer", "null"], "minimum": 0},
        "referrer": TEXT,
        "user_agent": TEXT,
        "producer": {"type": "string"},
        "sequence": {"type": "integer", "minimum": 0},
        "hash": {"type": "string"},
    },
}
FORMATS = {
    "parquet": 'format = "parquet"\ncompression = "snappy"',
    "gzip": 'format = "json"\ncompression = "gzip"',
}


def variable(name):
    return os.environ.get(name) or sys.exit(f"{name} is not set: run this under tests/infra/s3.sh")


def folder_of(root, path, prefix, port, budget):
    folder = pathlib.Path(root)
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "schema.json").write_text(json.dumps(SCHEMA))
    sink = f's3://{variable("FOREBAY_S3_BUCKET")}/{prefix}/'
    endpoint = variable("FOREBAY_S3_ENDPOINT")
    (folder / "pipelines" / "web.toml").write_text(
        '[stream]\nname = "web"\nshards = 4\ndurability = "fsync"\n'
        '[ingest]\npartition_key = "/client_ip"\nschema = "schema.json"\n'
        f'[[delivery]]\nname = "lake"\nsink = {{ url = "{sink}", endpoint = "{endpoint}", allow_http = true }}\n'
        f'prefix = ""\n{FORMATS[path]}\nbuffer = {{ size = "64MiB", interval = "60s" }}\n'
    )
    (folder / "forebay.toml").write_text(
        f'memory_budget = "{budget}"\n[server]\nlisten = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{port + 1}"\nthreads = 1\n'
        'drain_timeout = "60s"\n'
    )
    return folder


def start(folder, log):
    server = subprocess.Popen(
        ["taskset", "-c", "0", RELEASE / "forebay", "serve"], cwd=folder, stdout=log, stderr=subprocess.STDOUT
    )
    began = time.monotonic()
    while '"serving"' not in pathlib.Path(log.name).read_text():
        if server.poll() is not None or time.monotonic() - began > START_SECONDS:
            sys.exit(f"the server does not start:\n{pathlib.Path(log.name).read_text()}")
        time.sleep(0.05)
    return server


def measure(path, options):
    """CPU seconds a GB of bodies, resident memory in MB, and MB/s."""
    prefix = f"whole-way-{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory() as root:
        folder = folder_of(root, path, prefix, options.port, options.budget)
        manifest = folder / "manifest.json"
        with (folder / "log").open("w") as log:
            server = start(folder, log)
            load = ["taskset", "-c", "1", RELEASE / "forebay-load", "run", "--stream", "web", "--file", options.events]
            load += ["--url", f"http://127.0.0.1:{options.port}", "--batch", "100", "--connections", "8"]
            load += ["--producers", "8", "--duration", f"{options.seconds}s", "--retry", "--json", "-"]
            load += ["--manifest", manifest]
            ran = subprocess.run(load, capture_output=True)
            server.send_signal(signal.SIGTERM)
            _, status, usage = os.wait4(server.pid, 0)
        if ran.returncode != 0 or status != 0:
            sys.exit(f"{ran.stderr.decode()}\nexit status of the server {status}\n{(folder / 'log').read_text()}")
        report = json.loads(ran.stdout)
        lake = f's3://{variable("FOREBAY_S3_BUCKET")}/{prefix}/'
        verify = [RELEASE / "forebay-load", "verify", lake, "--manifest", manifest, "--key", "/client_ip"]
        verify += ["--endpoint", variable("FOREBAY_S3_ENDPOINT")]
        verified = subprocess.run(verify, capture_output=True)
        if verified.returncode != 0:
            sys.exit(f"{verified.stdout.decode()}{verified.stderr.decode()}")
    gigabytes = report["body_bytes"] / 1e9
    cpu = (usage.ru_utime + usage.ru_stime) / gigabytes
    return cpu, usage.ru_maxrss / 1e3, report["body_bytes"] / 1e6 / report["seconds"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("events", type=pathlib.Path, help="NDJSON, also in gzip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--paths", default=",".join(FORMATS))
    parser.add_argument("--budget", default="256MiB")
    parser.add_argument("--port", type=int, default=18_700)
    options = parser.parse_args()
    options.events = options.events.resolve()
    paths = options.paths.split(",")
    seen = {path: [] for path in paths}
    for _ in range(options.rounds):
        for path in paths:
            seen[path].append(measure(path, options))
    print(f"{'path':<10} {'CPU s/GB':>22} {'resident MB':>22} {'MB/s':>22}")
    for path, rounds in seen.items():
        columns = [f"{statistics.median(column):.2f} ({min(column):.2f} to {max(column):.2f})" for column in zip(*rounds)]
        print(f"{path:<10} {columns[0]:>22} {columns[1]:>22} {columns[2]:>22}")


if __name__ == "__main__":
    main()
