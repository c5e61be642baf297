"""What a fleet can take: the throughput at which each of its parts is full, least first.

A part that has a capacity C and of which a GB takes D is full at C ÷ D GB/s (the asymptotic bounds of operational
analysis: Denning and Buzen, 1978). Some parts do not depend on the throughput: they hold what is asked of them or not,
which is a bound of infinity or of zero.
"""

import math
from dataclasses import dataclass

from model import costs
from model.inputs import value
from model.limits import limit
from model.workload import GB, Fleet, Workload

FITS, DOES_NOT_FIT = math.inf, 0.0


@dataclass(frozen=True)
class Bound:
    """GB/s of payload at which `part` is full."""

    part: str
    gb_s: float
    remedy: str


def cores(fleet: Fleet) -> float:
    """Of all nodes, as far as they may be busy."""
    return fleet.nodes * (fleet.cores or value("cores")) * value("busy")


def fixed_cores(workload: Workload, fleet: Fleet) -> float:
    """What is busy without a record: idle streams, looks at the metrics, and clients that connect anew."""
    streams = workload.streams * value("stream_idle_us") * workload.shards / 4
    scrapes = series(workload) * value("series_us") / value("scrape_s")
    arrivals = fleet.connections / value("session_s") * value("connect_tls_us")
    return (fleet.nodes * (streams + scrapes) + arrivals) / 1e6


def cores_of(workload: Workload, fleet: Fleet, gb_s: float) -> float:
    """Busy ones of all nodes."""
    producing = costs.producing(workload, fleet, gb_s)
    return gb_s * costs.whole(workload) + producing + fixed_cores(workload, fleet)


def series(workload: Workload) -> float:
    """Of one node's metrics."""
    of_stream = value("series_delivered" if workload.deliveries else "series_stream")
    return value("series_node") + workload.streams * of_stream


def node_memory(workload: Workload, fleet: Fleet) -> float:
    """Bytes of one node, its part of the connections among them."""
    each = fleet.connections / fleet.nodes * value("connection_tls")
    # By the tasks of deliveries; shards beside that take a few KB, which cannot be told apart.
    tasks = max(1.0, workload.workers / fleet.nodes)
    streams = workload.streams * tasks * value("stream_delivered_bytes")
    return value("budget") + value("process_bytes") + each + streams


def first_ack_s(workload: Workload) -> float:
    """Seconds of an ack that waits for nobody else."""
    cpu = costs.ingest(workload) * workload.request / GB
    log = {"kafka": (limit("KAFKA_LINGER_MS") + value("broker_ms")) / 1e3, "fsync": value("sync_4k_us") / 1e6}
    return cpu + log.get(workload.log, 0.0) + value("client_ms") / 1e3


def stored_s(workload: Workload, gb_s: float) -> float:
    """Bytes a second that one task of a delivery stores."""
    return gb_s * GB * costs.stored(workload) / (workload.streams * workload.workers)


def files_s(workload: Workload, gb_s: float) -> float:
    """Files a second of one task of a delivery: by time, or by size if that is sooner."""
    if workload.format == "none":
        return 0.0
    by_time = workload.partitions / workload.interval
    return max(by_time, stored_s(workload, gb_s) / limit("BUFFER_BYTES_DEFAULT"))


def file_bytes(workload: Workload, gb_s: float) -> float:
    return stored_s(workload, gb_s) / max(files_s(workload, gb_s), 1e-12)


def puts_s(workload: Workload, gb_s: float) -> tuple[float, float]:
    """PUT a second of all files, and of all ledgers. A ledger has an entry when a file is closed and one when it is
    stored; what comes while one is written goes with the next one."""
    files, size = files_s(workload, gb_s), file_bytes(workload, gb_s)
    parts = 1.0
    if size > limit("MULTIPART_BYTES_DEFAULT"):
        parts = 2 + math.ceil(size / limit("MULTIPART_PART_BYTES"))
    appends = min(2 * files, 1e3 / value("store_ms")) if workload.log == "kafka" else 0.0
    return workload.all_workers * files * parts, workload.all_workers * appends


def slots_s(workload: Workload, gb_s: float) -> float:
    """Seconds of uploads that a second brings to one task of a delivery."""
    seconds = value("store_ms") / 1e3 + file_bytes(workload, gb_s) / value("store_bytes")
    return files_s(workload, gb_s) * seconds


def largest(is_enough, most: float = 1e5) -> float:
    """The largest throughput, GB/s, at which `is_enough` holds; it holds for all below that."""
    if not is_enough(0.0):
        return DOES_NOT_FIT
    if is_enough(most):
        return FITS
    low, high = 0.0, most
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if is_enough(middle) else (low, middle)
    return low


def edge_bounds(workload: Workload, fleet: Fleet) -> list[Bound]:
    each = fleet.connections / fleet.nodes
    waiting = fleet.connections * workload.request / first_ack_s(workload) / GB
    allowed = fleet.connections_max or limit("CONNECTIONS_DEFAULT")
    memory = fleet.memory or value("node_memory")
    return [
        Bound("producers that wait for acks", waiting, "larger requests, more connections, several requests at a time"),
        Bound(
            "`max_connections`",
            FITS if each <= allowed else DOES_NOT_FIT,
            "raise it, to 1,000,000 at most; more nodes",
        ),
        Bound(
            "memory for connections",
            FITS if node_memory(workload, fleet) <= memory else DOES_NOT_FIT,
            "larger nodes, or more; a shorter `idle_timeout`",
        ),
        Bound(
            "ports of a balancer",
            FITS if each <= value("ports") else DOES_NOT_FIT,
            "a balancer that passes packets on, or one with more addresses",
        ),
    ]


def node_bounds(workload: Workload, fleet: Fleet) -> list[Bound]:
    busy = largest(lambda gb_s: cores_of(workload, fleet, gb_s) <= cores(fleet))
    is_shared = workload.log == "kafka"
    delivery = workload.deliveries * costs.delivery(workload)
    into = 1.0 + (workload.deliveries if is_shared else 0.0)
    out = (1.0 if is_shared else 0.0) + workload.deliveries * costs.stored(workload) + workload.readers
    network = fleet.nodes * value("node_network") * value("network_busy") / GB
    found = [
        Bound("CPU of the nodes", busy, "more nodes; larger requests"),
        Bound("network of the nodes", network / max(into, out), "more nodes, or faster networks; compressed bodies"),
    ]
    if workload.log in ("fsync", "os"):
        found.append(Bound("disk of the log", value("disk_bytes") / 2 / GB, "a faster disk; several nodes"))
    if delivery:
        # Each is on one core at a time.
        slowest = workload.streams * workload.workers / workload.skew / costs.delivery(workload)
        remedy = "more shards; keys that spread" if is_shared else "several streams, or nodes"
        found.append(Bound("one task a shard" if is_shared else "one task a delivery", slowest, remedy))
        if is_shared:
            workers = min(fleet.nodes, workload.all_workers)
            found.append(
                Bound("nodes with shards to deliver", cores(fleet) * workers / fleet.nodes / delivery, "more shards")
            )
    return found


def store_bounds(workload: Workload) -> list[Bound]:
    if workload.format == "none":
        return []
    slots, puts = limit("DELIVERY_UPLOADS_MAX"), value("s3_puts")
    return [
        Bound(
            "upload slots",
            largest(lambda gb_s: slots_s(workload, gb_s) <= slots),
            "fewer partitions, a longer `interval`, more shards",
        ),
        Bound(
            "PUT of files, one prefix",
            largest(lambda gb_s: puts_s(workload, gb_s)[0] <= puts),
            "fewer partitions, a longer `interval`; prefixes that begin differently",
        ),
        Bound(
            "PUT of ledgers, one prefix",
            largest(lambda gb_s: puts_s(workload, gb_s)[1] <= puts),
            "fewer partitions and shards, a longer `interval`; clusters with buckets of their own",
        ),
    ]


@dataclass(frozen=True)
class BrokerLoad:
    """Of one broker, whatever the throughput: sockets, requests a second, replicas."""

    sockets: float
    requests: float
    replicas: float


def broker_load(workload: Workload, fleet: Fleet) -> BrokerLoad:
    # A producer, a tail, and a member of each delivery's group, of each stream and node, to each broker.
    sockets = fleet.nodes * workload.streams * (2 + workload.deliveries)
    # Each tail asks each broker once a second where partitions end; members say that they live.
    beats = workload.deliveries / limit("OWNERSHIP_HEARTBEAT") / fleet.brokers
    requests = fleet.nodes * workload.streams * (1.0 + beats)
    return BrokerLoad(sockets, requests, workload.streams * workload.shards * value("replicas") / fleet.brokers)


def broker_bounds(workload: Workload, fleet: Fleet) -> list[Bound]:
    if workload.log != "kafka":
        return []
    network = fleet.brokers * value("broker_network") * value("network_busy") / GB
    copies = value("replicas")
    load = broker_load(workload, fleet)
    return [
        Bound(
            "network of the brokers",
            network / max(copies, copies - 1 + workload.deliveries),
            "more brokers; `compression.type` of the topic; several clusters",
        ),
        Bound(
            "partitions of the brokers",
            FITS if load.replicas <= value("broker_partitions") else DOES_NOT_FIT,
            "fewer shards or streams; more brokers",
        ),
        Bound(
            "sockets of the brokers",
            FITS if load.sockets <= value("broker_files") else DOES_NOT_FIT,
            "fewer streams a node: groups of nodes for groups of streams",
        ),
        Bound(
            "requests of the brokers",
            FITS if load.requests <= value("broker_requests") else DOES_NOT_FIT,
            "fewer streams a node: groups of nodes for groups of streams",
        ),
    ]


def bounds(workload: Workload, fleet: Fleet) -> list[Bound]:
    """All of them, least first; of those that are alike the order is that of the way of a record."""
    found = edge_bounds(workload, fleet) + node_bounds(workload, fleet)
    found += broker_bounds(workload, fleet) + store_bounds(workload)
    return sorted(found, key=lambda bound: bound.gb_s)


def throughput(found: list[Bound]) -> float:
    """What the fleet takes once those parts that do not hold what is asked have been changed."""
    return next(bound.gb_s for bound in found if bound.gb_s > DOES_NOT_FIT)
