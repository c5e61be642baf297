"""How long acks take at parts of what one core can do, to judge the model of it."""

import csv
import pathlib
import tempfile

from measuring import node, points
from measuring.points import Point

TARGET = pathlib.Path(__file__).resolve().parents[1] / "acks.csv"
COLUMNS = ["log", "batch", "connections", "requests_per_second", "p50_ms", "p99_ms"]
SECONDS = 4
CONNECTIONS = 64
# Of log and batch: requests a second.
CASES = {
    ("memory", 1): (2_000, 8_000),
    ("memory", 100): (500, 1_500),
    ("fsync", 1): (2_000, 6_000),
    ("fsync", 100): (500, 1_200),
    ("kafka", 1): (500, 2_000),
    ("kafka", 100): (200, 600),
}


def measure(log: str, batch: int, rate: int, source: pathlib.Path, port: int) -> list:
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root)
        points.config(folder, port, Point(log, "none", batch, 0), f"acks-{log}-{batch}-{rate}")
        options = ["--file", str(source), "--batch", str(batch), "--connections", str(CONNECTIONS), "--mode", "open"]
        with node.running(folder) as server:
            report = node.load(port, *options, "--rate", str(rate * batch), "--duration", f"{SECONDS}s")
            node.stop(server, folder)
    times = report["service_ms"]
    sent = report["requests"]["per_second"]
    return [log, batch, CONNECTIONS, f"{sent:.0f}", f"{times['p50']:.3g}", f"{times['p99']:.3g}"]


def run(source: pathlib.Path, logs: list[str], port: int) -> None:
    is_new = not TARGET.exists()
    with TARGET.open("a", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        if is_new:
            writer.writerow(COLUMNS)
        for (log, batch), rates in CASES.items():
            for rate in rates if log in logs else ():
                row = measure(log, batch, rate, source, port)
                writer.writerow(row)
                out.flush()
                print(row, flush=True)
