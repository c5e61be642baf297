"""The tables of docs/sizing.md: costs, one box, a fleet, its brokers."""

import math
from dataclasses import replace

from drawn.text import significant, space
from model import costs
from model.inputs import value
from model.workload import GB, Fleet, Workload

RATES = {"10 MB/s": 0.01, "100 MB/s": 0.1, "1 GB/s": 1.0, "10 GB/s": 10.0}
# How many pods of deploy/kubernetes are the fewest of edges and of deliveries.
EDGES_MIN = 3
DELIVERIES_MIN = 2
# Payload of a shard in GB/s from which on files are full within a minute.
SHARD_RATE = 0.01
SHARDS_MIN = 12
# Of the delivery half of memory_budget, which is the other half of it: docs/operations.md#sizing-memory.
SHARD_MEMORY_MIB = 4 * 16 + 4 * 8

BATCHES = Workload(event=400, batch=100, log="fsync", format="parquet", shards=4)
SINGLE = replace(BATCHES, batch=1)
KAFKA = replace(BATCHES, log="kafka")


def set_us() -> float:
    """CPU µs of one request to the brokers."""
    return costs.units()["kafka", "set"] * 1e6


def cost_table() -> list[list[str]]:
    def figure(cost: float) -> str:
        return significant(cost)

    return [
        ["cost", "of", "CPU-seconds a GB"],
        [
            "`http_batches`",
            "edge: requests of 100 records, JSON Schema, partition key",
            figure(costs.stage("edge", BATCHES)),
        ],
        ["`http_single`", "edge: a request a record", figure(costs.stage("edge", SINGLE))],
        ["`log`", "local log, `fsync`; requests of 100 records", figure(costs.stage("fsync", BATCHES))],
        ["`log_single`", "the same; a request a record", figure(costs.stage("fsync", SINGLE))],
        [
            "`store`",
            "a delivery: read, encode, compress, sign, upload, as Snappy Parquet",
            figure(costs.stage("parquet", BATCHES)),
        ],
        ["`store_gzip`", "the same as GZIP JSON", figure(costs.stage("gzip", BATCHES))],
        ["`tap`", "live reader (server-sent events), by what it is sent", figure(value("tap_s_per_gb"))],
        [
            "`produce`",
            f"edge: to the log in Kafka instead of `log`, beside {set_us():.0f} µs a request to the brokers",
            figure(costs.stage("kafka", KAFKA)),
        ],
        ["`fetch`", "delivery: from the log in Kafka", figure(costs.stage("fetch", KAFKA))],
        [
            "`fan_out`",
            "delivery into a topic of Kafka, instead of `store`; another machine",
            figure(value("fan_out_us") * 1e-6 * GB / BATCHES.event),
        ],
    ]


def busy(rate: float, cost: float) -> float:
    """Cores, so that they are busy for as much as they should be at most."""
    return rate * cost / value("busy")


def cores(rate: float, cost: float) -> str:
    found = busy(rate, cost)
    return significant(found) if found < 10 else f"{math.ceil(found):,}"


def pods(rate: float, least: int, cost: float) -> str:
    return f"{max(least, math.ceil(busy(rate, cost) / value('cores')))}"


def per_second(gb: float) -> str:
    return f"{gb * 1000:.0f} MB/s" if gb < 1 else f"{gb:.0f} GB/s"


def shards(gb: float) -> int:
    return max(SHARDS_MIN, math.ceil(gb / SHARD_RATE))


def one_box() -> list[list[str]]:
    disks = ["disk, at first", "disk, later", "log, 1 h", "log, 24 h"]
    rows = [["payload", "cores", "cores, single events", "network in", *disks]]
    for name, gb in RATES.items():
        figures = [cores(gb, costs.whole(BATCHES)), cores(gb, costs.whole(SINGLE)), f"{gb * 8:.2g} Gbit/s"]
        figures += [per_second(2 * gb), per_second(gb), space(gb * 3600), space(gb * 86400)]
        rows.append([name, *figures])
    return rows


def producing(gb: float) -> float:
    """CPU-seconds a GB of requests to the brokers, of as many edges as take the rest, and brokers for its copies."""
    edges = max(EDGES_MIN, math.ceil(busy(gb, costs.ingest(KAFKA)) / value("cores")))
    needed = gb * GB * value("replicas") / value("broker_network") / value("network_busy")
    asked = Fleet(edges, brokers=max(round(value("replicas")), math.ceil(needed)))
    return costs.producing(replace(KAFKA, shards=shards(gb)), asked, gb) / gb


def fleet() -> list[list[str]]:
    of = f"pods of {value('cores'):.0f}"
    rows = [["payload", "cores of edges", of, "cores of deliveries", of, "shards", "memory of deliveries"]]
    for name, gb in RATES.items():
        take, deliver = costs.ingest(KAFKA) + producing(gb), costs.delivery(KAFKA)
        memory = 2 * shards(gb) * SHARD_MEMORY_MIB / 1024
        edges = [cores(gb, take), pods(gb, EDGES_MIN, take)]
        deliveries = [cores(gb, deliver), pods(gb, DELIVERIES_MIN, deliver)]
        rows.append([name, *edges, *deliveries, f"{shards(gb):,}", f"{memory:.3g} GiB"])
    return rows


def brokers() -> list[list[str]]:
    rows = [["payload", "network into brokers", "network out of brokers", "disks of brokers", "log, 1 h", "log, 24 h"]]
    for name, gb in RATES.items():
        copies = value("replicas") * gb
        # To the followers, and to one delivery.
        out = (value("replicas") - 1) * gb + gb
        kept = [space(copies * hours * 3600) for hours in (1, 24)]
        rows.append([name, per_second(copies), per_second(out), per_second(copies), *kept])
    return rows
