"""CPU-seconds a GB of payload, by stage, for a workload."""

import functools
import math

from model import fit
from model.inputs import value
from model.workload import GB, Workload

# Shards that all get records of each request, and what the edge then takes as a multiple of one shard.
SPREAD = {1: "spread_1", 100: "spread_100", 4_000: "spread_4000"}
# Open partitions at which `partitions_*` was measured.
PARTITIONS_MEASURED = 2_000


@functools.cache
def units() -> dict[tuple[str, str], float]:
    """CPU-seconds a unit of each stage, from the runs."""
    return fit.fitted(fit.runs())


def stage(name: str, workload: Workload) -> float:
    """Of one stage, without what shards and partitions add, and without `lingers`."""
    amounts = {"request": GB / workload.request, "record": GB / workload.event, "byte": GB, "linger": 0.0}
    return sum(units().get((name, unit), 0.0) * amounts[unit] for unit in fit.COSTS[name])


def lingers(workload: Workload, nodes: int, gb_s: float) -> float:
    """Cores that clients of Kafka take because something comes, not by how much: of all nodes and streams."""
    if workload.log != "kafka":
        return 0.0
    clients = nodes * workload.streams
    requests = gb_s * GB / workload.request
    cost = units()["kafka", "linger"] + (units()["fetch", "linger"] if workload.deliveries else 0.0)
    return clients * fit.lingers(requests / clients, 1.0) * cost


def spread(workload: Workload) -> float:
    """What shards make of the cost of the edge: a request has records of up to so many of them."""
    touched = min(workload.shards, workload.batch)
    places = sorted(SPREAD)
    for low, high in zip(places, places[1:], strict=False):
        if touched <= high:
            part = math.log(max(touched, 1) / low) / math.log(high / low)
            return value(SPREAD[low]) + part * (value(SPREAD[high]) - value(SPREAD[low]))
    return value(SPREAD[places[-1]])


def ingest(workload: Workload) -> float:
    """From the socket to the ack."""
    # The runs of the fit have four shards.
    measured = Workload(batch=100, shards=4)
    edge = stage("edge", workload) * spread(workload) / spread(measured)
    return edge + (stage(workload.log, workload) if workload.log != "memory" else 0.0)


def scattered(workload: Workload) -> float:
    """What open partitions make of the cost of a delivery."""
    many = value(f"partitions_{workload.format}")
    return 1.0 + (many - 1.0) * min(1.0, (workload.partitions - 1) / PARTITIONS_MEASURED)


def delivery(workload: Workload) -> float:
    """Of one delivery: from the log to the object."""
    if workload.format == "none":
        return 0.0
    fetch = stage("fetch", workload) if workload.log == "kafka" else 0.0
    return fetch + stage(workload.format, workload) * scattered(workload)


def reading(workload: Workload) -> float:
    """All live readers."""
    return workload.readers * value("tap_s_per_gb")


def whole(workload: Workload) -> float:
    return ingest(workload) + workload.deliveries * delivery(workload) + reading(workload)


def stored(workload: Workload) -> float:
    """Bytes of files a byte of payload, of one delivery."""
    return 0.0 if workload.format == "none" else 1.0 / value(f"compression_{workload.format}")
