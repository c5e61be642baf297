#!/usr/bin/env python3
"""What the whole way costs: real events over HTTP, durable before the answer, to files in an S3-compatible store.

    cargo build --release --workspace
    taskset -c 1 tests/infra/s3.sh loadtest/whole_way.py EVENTS.ndjson.gz [--rounds 5] [--seconds 8] \
        [--paths parquet,gzip]

The server has core 0, the load and the store have core 1. Batches of 100, a schema of twelve fields, three of them the
load's own, and a partition key, four shards, `fsync`. A GB is one of events that were accepted; what was sent again
counts once. CPU time and memory of the server are those of its whole life: start, load, drain and the last
upload. Paths take turns in each round; printed are median, least and most. Each lake is verified: a record that is
missing, doubled or damaged ends the run with an error.
"""

import pathlib
import subprocess
import sys
import tempfile

from pinned_server import FORMATS, Delivery, Server, arguments, folder_of, lake_url, load, new_prefix, spread, variable


def measure(path, options):
    """CPU seconds a GB of events, resident memory in MB, and MB/s."""
    prefix = new_prefix("whole-way")
    with tempfile.TemporaryDirectory() as root:
        folder = folder_of(root, options, "fsync", [Delivery(path, prefix)])
        manifest = folder / "manifest.json"
        server = Server(options, folder)
        report = load(
            options, server, "--batch", 100, "--connections", 8, "--producers", 8, "--duration", f"{options.seconds}s",
            "--retry", "--manifest", manifest,
        )
        usage = server.drained()
        verify = [options.binaries / "forebay-load", "verify", lake_url(prefix), "--manifest", manifest]
        verify += ["--key", "/client_ip", "--endpoint", variable("FOREBAY_S3_ENDPOINT")]
        verified = subprocess.run(verify, capture_output=True)
        if verified.returncode != 0:
            sys.exit(f"{verified.stdout.decode()}{verified.stderr.decode()}")
    gigabytes = report["payload_bytes"] / 1e9
    cpu = (usage.ru_utime + usage.ru_stime) / gigabytes
    return cpu, usage.ru_maxrss / 1e3, report["payload_bytes"] / 1e6 / report["seconds"]


def main():
    parser = arguments(__doc__, 18_700)
    parser.add_argument("events", type=pathlib.Path, help="NDJSON, also in gzip")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--paths", default=",".join(FORMATS))
    options = parser.parse_args()
    options.events = options.events.resolve()
    paths = options.paths.split(",")
    seen = {path: [] for path in paths}
    for _ in range(options.rounds):
        for path in paths:
            seen[path].append(measure(path, options))
    print(f"{'path':<10} {'CPU s/GB':>22} {'resident MB':>22} {'MB/s':>22}")
    for path, rounds in seen.items():
        columns = [spread(column) for column in zip(*rounds)]
        print(f"{path:<10} {columns[0]:>22} {columns[1]:>22} {columns[2]:>22}")


if __name__ == "__main__":
    main()
