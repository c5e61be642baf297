"""Keeps the tables of docs/sizing.md in step with the costs at its top.

usage: sizing.py [--write]

Costs that say `not measured` count as nothing, and what follows from them is a lower bound and says so (≥). Without
--write prints every line that is not what follows from the costs, and exits 1 if there is one.
"""

import math
import re
import sys
from pathlib import Path

DOC = Path(__file__).resolve().parents[2] / "docs/sizing.md"

RATES = {"10 MB/s": 0.01, "100 MB/s": 0.1, "1 GB/s": 1.0, "10 GB/s": 10.0}
# Part of the cores that is busy: what the autoscaler of deploy/kubernetes aims at.
BUSY = 0.6
# Cores of a pod in deploy/kubernetes, and how many pods are the fewest of edges and of deliveries.
POD_CORES = 2
EDGES_MIN = 3
DELIVERIES_MIN = 2
REPLICAS = 3
# Payload of a shard in GB/s from which on files are full within a minute.
SHARD_RATE = 0.01
SHARDS_MIN = 12
# Of the delivery half of memory_budget, which is the other half of it: docs/operations.md#sizing-memory.
SHARD_MEMORY_MIB = 4 * 16 + 4 * 8


class Costs:
    """CPU-seconds a GB, by name; None where nobody has measured it."""

    def __init__(self, text: str):
        rows = re.findall(r"^\| `(\w+)` \| [^|]* \| ([^|]*) \|", text, re.MULTILINE)
        self.of = {name: None if value == "not measured" else float(value) for name, value in rows}

    def bound(self, *names: str) -> str:
        """What stands before a figure that leaves out what nobody has measured."""
        return "≥ " if any(self.of[name] is None for name in names) else ""

    def busy(self, rate: float, *names: str) -> float:
        """Cores that are BUSY with `rate` GB/s through all of these."""
        return rate * sum(self.of[name] or 0 for name in names) / BUSY

    def cores(self, rate: float, *names: str) -> str:
        cores = self.busy(rate, *names)
        return self.bound(*names) + (f"{cores:.2g}" if cores < 10 else f"{math.ceil(cores)}")

    def pods(self, rate: float, least: int, *names: str) -> str:
        pods = max(least, math.ceil(self.busy(rate, *names) / POD_CORES))
        return f"{self.bound(*names)}{pods}"


def rate(gb: float) -> str:
    return f"{gb * 1000:.0f} MB/s" if gb < 1 else f"{gb:.0f} GB/s"


def space(gb: float) -> str:
    return f"{gb:.0f} GB" if gb < 1000 else f"{gb / 1000:.3g} TB" if gb < 1e6 else f"{gb / 1e6:.3g} PB"


def shards(gb: float) -> int:
    return max(SHARDS_MIN, math.ceil(gb / SHARD_RATE))


def one_box(costs: Costs) -> list[list[str]]:
    disks = ["disk, at first", "disk, later", "log, 1 h", "log, 24 h"]
    rows = [["payload", "cores", "cores, single events", "network in", *disks]]
    for name, gb in RATES.items():
        batches = costs.cores(gb, "http_batches", "log", "store")
        single = costs.cores(gb, "http_single", "log", "store")
        network = f"{gb * 8:.2g} Gbit/s"
        rows.append([name, batches, single, network, rate(2 * gb), rate(gb), space(gb * 3600), space(gb * 86400)])
    return rows


def fleet(costs: Costs) -> list[list[str]]:
    pods = f"pods of {POD_CORES}"
    rows = [["payload", "cores of edges", pods, "cores of deliveries", pods, "shards", "memory of deliveries"]]
    take, deliver = ("http_batches", "produce"), ("fetch", "store")
    for name, gb in RATES.items():
        edges = [costs.cores(gb, *take), costs.pods(gb, EDGES_MIN, *take)]
        deliveries = [costs.cores(gb, *deliver), costs.pods(gb, DELIVERIES_MIN, *deliver)]
        memory = 2 * shards(gb) * SHARD_MEMORY_MIB / 1024
        rows.append([name, *edges, *deliveries, f"{shards(gb):,}", f"{memory:.3g} GiB"])
    return rows


def brokers(_: Costs) -> list[list[str]]:
    rows = [["payload", "network into brokers", "network out of brokers", "disks of brokers", "log, 1 h", "log, 24 h"]]
    for name, gb in RATES.items():
        copies = REPLICAS * gb
        # To the followers, and to one delivery.
        out = (REPLICAS - 1) * gb + gb
        kept = [space(copies * hours * 3600) for hours in (1, 24)]
        rows.append([name, rate(copies), rate(out), rate(copies), *kept])
    return rows


TABLES = {"one box": one_box, "fleet": fleet, "brokers": brokers}


def printed(rows: list[list[str]]) -> str:
    lines = [" | ".join(row) for row in rows]
    lines.insert(1, " | ".join("---" if column == 0 else "---:" for column in range(len(rows[0]))))
    return "".join(f"| {line} |\n" for line in lines)


def renewed(text: str) -> str:
    costs = Costs(text)
    for name, table in TABLES.items():
        place = re.compile(rf"(<!-- table: {name} -->\n)((?:\|.*\n)*)")
        text, count = place.subn(lambda found, table=table: found[1] + printed(table(costs)), text)
        if count != 1:
            sys.exit(f"docs/sizing.md: {count} places for the table {name}")
    return text


def main() -> int:
    text = DOC.read_text()
    right = renewed(text)
    if "--write" in sys.argv[1:]:
        DOC.write_text(right)
        return 0
    wrong = [(was, now) for was, now in zip(text.splitlines(), right.splitlines(), strict=False) if was != now]
    for was, now in wrong:
        print(f"docs/sizing.md: {was}\n     should be: {now}")
    print("in step" if text == right else "python3 tests/infra/sizing.py --write makes it so")
    return text != right


if __name__ == "__main__":
    sys.exit(main())
