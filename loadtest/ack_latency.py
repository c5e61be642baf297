#!/usr/bin/env python3
"""What a delivery does to acks: their latency at half load while files are encoded and uploaded, beside the same load
on the same stream without a delivery, whose encoder is idle.

    cargo build --release --workspace
    taskset -c 1 tests/infra/s3.sh loadtest/ack_latency.py EVENTS.ndjson.gz [--paths parquet,gzip] \
        [--durabilities fsync,memory] [--rounds 7] [--seconds 6]

The server has core 0, the load and the store have core 1, of which the load has the first turn where it may (as root).
Full load is measured first: a closed loop's bytes over the CPU seconds of everything until the last file is stored,
which is what the core takes of the whole way when it does nothing else. Half of that comes in an open loop, batches of
100 over 32 connections: latency counts from when a request was due, whether or not a connection was free to send it.
The contestants take turns in each round; the ratio is that of the p99 of the same round. Printed are median, least and
most. `sent p99`
counts from when a request was sent, so that no delay of the load is in it: the same as p99 but for requests that no
connection was free for. `late` is the load's own delay at p99, the most of all rounds; `busy` the share of its core
that the server has used. With `--sink folder` files go to the disk instead of the store: the same encoding, but nothing
else on the load's core.
"""

import collections
import itertools
import json
import pathlib
import tempfile

from pinned_server import FORMATS, Delivery, Server, arguments, folder_of, load, new_prefix, spread

BATCH, CONNECTIONS = 100, 32
WARM_UP_SECONDS = 2
IDLE = "idle encoder"
# Files are closed and uploaded several times in a round.
FILE_SIZE = "8MiB"


def deliveries_of(options, path, root):
    folder = f"file://{root}/lake" if options.sink == "folder" else ""
    return [] if path == IDLE else [Delivery(path, new_prefix("ack-latency"), FILE_SIZE, url=folder)]


def full_load(options, durability, path):
    """Records a second that keep the server's core busy with all of their way."""
    with tempfile.TemporaryDirectory() as root:
        server = Server(options, folder_of(root, options, durability, deliveries_of(options, path, root)))
        report = load(
            options, server, "--batch", BATCH, "--connections", 8, "--producers", 8, "--retry",
            "--duration", f"{options.seconds}s",
        )
        usage = server.drained()
    return report["records"]["acked"] / (usage.ru_utime + usage.ru_stime)


def percentiles(record, shares):
    """Of the latencies in milliseconds, without the first seconds."""
    counts = collections.Counter()
    for second in record["intervals"][WARM_UP_SECONDS:]:
        counts.update(dict(second["latency_us"]))
    total, found = counts.total(), []
    for share in shares:
        passed = itertools.accumulate(count for _, count in sorted(counts.items()))
        found.append(next(value for value, sum in zip(sorted(counts), passed) if sum >= share * total) / 1e3)
    return found


def measure(options, durability, path, rate):
    """p50, p99 and p99.9 of acks, p99 since they were sent and of the load's own delay, all in milliseconds; the share
    of the core."""
    with tempfile.TemporaryDirectory() as root:
        server = Server(options, folder_of(root, options, durability, deliveries_of(options, path, root)))
        record = pathlib.Path(root) / "record"
        report = load(
            options, server, "--batch", BATCH, "--connections", CONNECTIONS, "--producers", CONNECTIONS, "--rate", rate,
            "--duration", f"{WARM_UP_SECONDS + options.seconds}s", "--server-pid", server.pid, "--record", record,
            first=True,
        )
        server.killed()
        latencies = percentiles(json.loads(record.read_text()), [0.5, 0.99, 0.999])
    busy = report["server"]["cpu_seconds"] / report["seconds"]
    return *latencies, report["service_ms"]["p99"], report["pacing_ms"]["p99"], busy


def compare(options, durability, paths):
    rates = {path: full_load(options, durability, path) / 2 for path in paths}
    contestants = {path: (rate, {IDLE: [], path: []}) for path, rate in rates.items()}
    for _ in range(options.rounds):
        for rate, rounds in contestants.values():
            for path, seen in rounds.items():
                seen.append(measure(options, durability, path, rate))
    for path, (rate, rounds) in contestants.items():
        print(f"\n{durability}, {path}: half load is {rate:.0f} records/s")
        wide = " ".join(f"{name:>24}" for name in ("p99 ms", "p99.9 ms", "sent p99"))
        print(f"{'encoder':<14} {'p50 ms':>22} {wide} {'late':>5} {'busy':>5}")
        for name, seen in rounds.items():
            p50, p99, tail, sent, late, busy = (list(column) for column in zip(*seen))
            shown = f"{spread(p50):>22} {spread(p99):>24} {spread(tail):>24} {spread(sent):>24}"
            print(f"{name:<14} {shown} {max(late):>5.2f} {sum(busy) / len(busy):>5.2f}")
        due, sent = (
            [encoding[at] / idle[at] for idle, encoding in zip(rounds[IDLE], rounds[path])] for at in (1, 3)
        )
        print(f"p99 against the idle encoder's: {spread(due)}; since they were sent: {spread(sent)}", flush=True)


def main():
    parser = arguments(__doc__, 18_720)
    parser.add_argument("events", type=pathlib.Path, help="NDJSON, also in gzip")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--paths", default=",".join(FORMATS))
    parser.add_argument("--sink", choices=["store", "folder"], default="store")
    parser.add_argument("--durabilities", default="fsync,memory")
    options = parser.parse_args()
    options.events = options.events.resolve()
    for durability in options.durabilities.split(","):
        compare(options, durability, options.paths.split(","))


if __name__ == "__main__":
    main()
