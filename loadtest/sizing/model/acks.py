"""How long acks take: one node, request by request.

Requests come at random times (Poisson) to threads of the edge, each of which serves its own connections in turn. Then
they wait for the log: on the node for a commit, which takes along all that waits and is followed by the next one (group
commit); in Kafka for what is sent together and for the brokers. The way to the client is added. What else
delays threads on a shared machine is not in it, so that the tail is a lower bound.
"""

import math
import random
from dataclasses import dataclass, field, replace

from model import capacity, costs
from model.fit import linger_s
from model.inputs import value
from model.workload import GB, Fleet, Workload

REQUESTS = 6_000
# Those before have not seen a queue.
WARM_UP = 1_000
SEED = 1
# Of more partitions, so many stand for all of them.
PARTITIONS_SEEN = 16
# Standard normal quantile of 0.99.
Z99 = 2.326


@dataclass(frozen=True)
class Acks:
    """Seconds."""

    p50: float
    p99: float


@dataclass(frozen=True)
class Log:
    """Medians of what the log takes, seconds, and p99 ÷ median of a log-normal distribution around them."""

    syncs: tuple[tuple[int, float], ...]
    broker: float
    spread: float
    # What is gathered before it is sent to a broker.
    gather: float = field(default_factory=linger_s)

    def sync(self, size: float) -> float:
        """Median of one write of `size` bytes, between those that were measured; beyond them by the bytes."""
        for (low, first), (high, second) in zip(self.syncs, self.syncs[1:], strict=False):
            if size <= high:
                return first + (second - first) * max(0.0, size - low) / (high - low)
        return self.syncs[-1][1] * size / self.syncs[-1][0]


def usual_log(kind: str) -> Log:
    syncs = tuple((size << 10, value(f"sync_{size}k_us") / 1e6) for size in (4, 64, 1024))
    return Log(syncs, value("broker_ms") / 1e3, value("broker_p99" if kind == "kafka" else "sync_spread"))


@dataclass(frozen=True)
class Load:
    """Of one node: requests a second, threads of the edge, CPU-seconds of a request."""

    rate: float
    threads: int
    service: float


def served(load: Load, chance: random.Random) -> list[tuple[float, float]]:
    """When a thread has appended each of REQUESTS requests, in that order, and when it came."""
    free, now, done = [0.0] * load.threads, 0.0, []
    for _ in range(REQUESTS):
        now += chance.expovariate(load.rate)
        thread = chance.randrange(load.threads)
        free[thread] = max(now, free[thread]) + load.service
        done.append((free[thread], now))
    return sorted(done)


def committed(done: list[tuple[float, float]], size: int, log: Log, chance: random.Random) -> list[float]:
    """Seconds from a request to its commit."""
    times, place, free = [], 0, 0.0
    while place < len(done):
        begin = max(free, done[place][0])
        taken = place
        while taken < len(done) and done[taken][0] <= begin:
            taken += 1
        free = begin + log.sync((taken - place) * size) * noise(log, chance)
        times += [free - came for _, came in done[place:taken]]
        place = taken
    return times


def produced(
    done: list[tuple[float, float]], shards: int, records: int, log: Log, chance: random.Random
) -> list[float]:
    """Seconds from a request to the last ack of the brokers. What comes to a partition while the first record
    is held back goes with it; a request has records of as many partitions as it has records, or of all."""
    seen = min(shards, PARTITIONS_SEEN)
    touched = min(seen, records)
    sent, acked = [-1.0] * seen, [0.0] * seen
    times = []
    for appended, came in done:
        last = 0.0
        for partition in range(seen) if touched == seen else chance.sample(range(seen), touched):
            if appended > sent[partition]:
                sent[partition] = appended + log.gather
                acked[partition] = sent[partition] + log.broker * noise(log, chance)
            last = max(last, acked[partition])
        times.append(last - came)
    return times


def noise(log: Log, chance: random.Random) -> float:
    return math.exp(chance.gauss(0.0, math.log(log.spread) / Z99))


def simulate(workload: Workload, load: Load, log: Log) -> Acks:
    chance = random.Random(SEED)
    done = served(load, chance)
    if workload.log in ("memory", "os"):
        times = [appended - came for appended, came in done]
    elif workload.log == "fsync":
        times = committed(done, workload.request, log, chance)
    else:
        times = produced(done, workload.shards, workload.batch, log, chance)
    times = sorted(times[WARM_UP:])
    return Acks(times[len(times) // 2], times[len(times) * 99 // 100])


def of_fleet(workload: Workload, fleet: Fleet, gb_s: float) -> Acks:
    """At a throughput that the fleet can take."""
    threads = fleet.cores or round(value("cores"))
    rate = gb_s * GB / workload.request / fleet.nodes
    # Deliveries and readers have the same cores: what they take makes every request last longer.
    beside = capacity.cores_of(workload, fleet, gb_s) - gb_s * costs.ingest(workload)
    taken = min(0.9, beside / fleet.nodes / threads)
    service = costs.ingest(workload) * workload.request / GB / (1.0 - taken)
    log = usual_log(workload.log)
    if workload.log == "kafka" and costs.waits_for_brokers(workload, fleet, gb_s):
        log = replace(log, gather=costs.gather_s(workload, fleet))
    found = simulate(workload, Load(rate, threads, service), log)
    way = value("client_ms") / 1e3
    return Acks(found.p50 + way, found.p99 + way)
