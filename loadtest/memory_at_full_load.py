#!/usr/bin/env python3
"""Resident memory of a server that gets as much as it takes, with its lake at hand and with a lake that stalls.

    cargo build --release --workspace
    taskset -c 1 tests/infra/s3.sh loadtest/memory_at_full_load.py EVENTS.ndjson.gz [--paths parquet,gzip,both] \
        [--durability fsync] [--budget 256MiB] [--seconds 24] [--connections 16]

The server has core 0, the load and the store have core 1. A closed loop of batches of 100. `stalls`: after a quarter of
the time nothing goes to the store and nothing comes back any more, with uploads under way, until the load ends. `both`
are two deliveries of one stream. Printed: the most that was resident (VmHWM), what was after half of the load and at
its end, as megabytes, and what was taken: events that were accepted, each once.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time

from pinned_server import Delivery, Server, arguments, folder_of, load_command, new_prefix, variable

BATCH = 100


def measure(options, path, stalls):
    """VmHWM, resident memory after half of the load and at its end, in MB; accepted MB/s; seconds of the drain."""
    proxy = f"127.0.0.1:{options.port + 2}"
    endpoint = f"http://{proxy}" if stalls else ""
    prefix = new_prefix("memory")
    names = ["parquet", "gzip"] if path == "both" else [path]
    with tempfile.TemporaryDirectory() as root:
        deliveries = [Delivery(name, f"{prefix}/{name}", endpoint=endpoint) for name in names]
        server = Server(options, folder_of(root, options, options.durability, deliveries))
        more = ["--batch", BATCH, "--connections", options.connections, "--producers", options.connections]
        more += ["--duration", f"{options.seconds}s", "--retry"]
        if stalls:
            upstream = variable("FOREBAY_S3_ENDPOINT").removeprefix("http://")
            more += ["--stall-proxy", f"{proxy}={upstream}"]
            more += ["--chaos", f"stall@{options.seconds // 4}s,heal@{options.seconds}s"]
        report = pathlib.Path(root) / "report"
        with report.open("wb") as out:
            load = subprocess.Popen(load_command(options, *more), stdout=out, stderr=subprocess.PIPE)
        time.sleep(options.seconds / 2)
        half = server.memory_bytes("VmRSS")
        time.sleep(options.seconds / 2 - 0.5)
        end = server.memory_bytes("VmRSS")
        _, errors = load.communicate()
        most = server.memory_bytes("VmHWM")
        if load.returncode != 0:
            sys.exit(f"{errors.decode()}\n{server.log.read_text()}")
        began = time.monotonic()
        if stalls:
            # Its way to the store has ended with the load.
            server.killed()
        else:
            most = max(most, server.drained().ru_maxrss * 1024)
        seconds = time.monotonic() - began
        told = json.loads(report.read_text())
    rate = told["payload_bytes"] / told["seconds"]
    return most / 1e6, half / 1e6, end / 1e6, rate / 1e6, told["requests"]["retries"], seconds


def main():
    parser = arguments(__doc__, 18_740)
    parser.add_argument("events", type=pathlib.Path, help="NDJSON, also in gzip")
    parser.add_argument("--paths", default="parquet,gzip,both")
    parser.add_argument("--stalls", default="no,yes")
    parser.add_argument("--durability", default="fsync")
    parser.add_argument("--seconds", type=int, default=24)
    parser.add_argument("--connections", type=int, default=16)
    options = parser.parse_args()
    options.events = options.events.resolve()
    print(f"{'path':<8} {'lake':<8} {'most MB':>8} {'half':>6} {'end':>6} {'MB/s':>6} {'503s':>7} {'drain s':>8}")
    for path in options.paths.split(","):
        for stalls in options.stalls.split(","):
            most, half, end, rate, retries, drain = measure(options, path, stalls == "yes")
            lake = "stalls" if stalls == "yes" else "there"
            shown = f"{most:>8.0f} {half:>6.0f} {end:>6.0f} {rate:>6.0f} {retries:>7}"
            print(f"{path:<8} {lake:<8} {shown} {drain:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
