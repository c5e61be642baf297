"""CPU-seconds a GB of payload, by stage, for a workload."""

import functools
import math

from model import fit
from model.inputs import value
from model.workload import GB, Fleet, Workload

# Shards that all get records of each request, and what the edge then takes as a multiple of one shard.
SPREAD = {1: "spread_1", 100: "spread_100", 4_000: "spread_4000"}
# Open partitions at which `partitions_*` was measured.
PARTITIONS_MEASURED = 2_000


@functools.cache
def units() -> dict[tuple[str, str], float]:
    """CPU-seconds a unit of each stage, from the runs."""
    return fit.fitted(fit.runs())


def stage(name: str, workload: Workload) -> float:
    """Of one stage, without what shards and partitions add, and without `producing`."""
    amounts = {"request": GB / workload.request, "record": GB / workload.event, "byte": GB}
    return sum(units().get((name, unit), 0.0) * amounts.get(unit, 0.0) for unit in fit.COSTS[name])


def gather_s(workload: Workload, fleet: Fleet) -> float:
    """Seconds between what one node brings to one partition, where there is always something: the client's linger, or
    what the brokers answer in that time. A client has a few requests under way to each broker, so that slower brokers
    get fewer and larger ones instead of more."""
    by_brokers = fleet.nodes * workload.streams * workload.shards / (fleet.brokers * value("broker_requests"))
    by_answers = workload.shards * value("broker_ms") / 1e3 / (value("in_flight") * fleet.brokers)
    return max(fit.linger_s(), by_brokers, by_answers)


def sets(workload: Workload, fleet: Fleet, gb_s: float) -> float:
    """Requests a second with which all nodes bring records to Kafka."""
    if workload.log != "kafka":
        return 0.0
    clients = fleet.nodes * workload.streams
    requests = gb_s * GB / workload.request / clients
    return clients * fit.sets(requests, workload.batch, workload.shards, 1.0 / gather_s(workload, fleet))


def waits_for_brokers(workload: Workload, fleet: Fleet, gb_s: float) -> bool:
    """Whether so much comes that requests to brokers have to be gathered for longer than the linger."""
    requests = gb_s * GB / workload.request
    return requests * min(workload.batch, workload.shards) > 1.01 * sets(workload, fleet, gb_s)


def producing(workload: Workload, fleet: Fleet, gb_s: float) -> float:
    """Cores that these take, of all nodes: beside what records and bytes cost."""
    return sets(workload, fleet, gb_s) * units().get(("kafka", "set"), 0.0)


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
