"""What a load takes: the smallest box or fleet that holds it, what of it is full first, and what is stored."""

import argparse
import dataclasses
import math
import re
from dataclasses import dataclass

from drawn.text import rate, seconds, significant, space
from model import acks, capacity, costs
from model.capacity import Bound
from model.inputs import value
from model.limits import limit
from model.workload import DAY_SECONDS, GB, Fleet, Workload

NODES_MAX = 100_000
EDGES_MIN = 3
UNITS = {"KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "PB": 1e15}
TIMES = {"s": 1, "day": DAY_SECONDS}
MONTH_SECONDS = 30 * DAY_SECONDS


@dataclass(frozen=True)
class Plan:
    """`first` is what is full first when the load grows."""

    workload: Workload
    fleet: Fleet
    gb_s: float
    busy_cores: float
    memory: float
    first: Bound
    then: Bound
    ack: acks.Acks
    puts_month: float
    stored_day: float


def parsed(text: str) -> float:
    """GB/s of `2 TB/day` or `300 MB/s`."""
    found = re.fullmatch(r"([\d.]+)\s*([KMGTP]B)\s*/\s*(s|day)", text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text}: expected something like 2 TB/day or 300 MB/s")
    return float(found[1]) * UNITS[found[2]] / TIMES[found[3]] / GB


def box(workload: Workload, gb_s: float, connections: int) -> Fleet:
    """One node, with as many cores and as much memory as it takes."""
    fleet = Fleet(1, connections, connections_max=max(connections, round(limit("CONNECTIONS_DEFAULT"))))
    cores = max(1, math.ceil(capacity.cores_of(workload, fleet, gb_s) / value("busy")))
    return dataclasses.replace(fleet, cores=cores, memory=capacity.node_memory(workload, fleet))


def fleet(workload: Workload, gb_s: float, connections: int) -> Fleet:
    """Nodes as `deploy/kubernetes` has them, and brokers, as few as hold it."""
    network = value("broker_network") * value("network_busy") / GB
    copies = max(value("replicas"), value("replicas") - 1 + workload.deliveries)
    brokers = max(3, math.ceil(gb_s * copies / network))

    def holds(nodes: int) -> bool:
        found = capacity.bounds(workload, Fleet(nodes, connections, brokers))
        grows = [b.gb_s for b in found if b.part in ("CPU of the nodes", "network of the nodes")]
        fits = [b for b in found if b.gb_s == capacity.DOES_NOT_FIT and "connections" in b.part]
        return min(grows) >= gb_s and not fits

    low, high = EDGES_MIN - 1, EDGES_MIN
    while not holds(high):
        low, high = high, 2 * high
        if high > NODES_MAX:
            raise SystemExit(f"more than {NODES_MAX:,} nodes: take larger requests, or larger nodes")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return Fleet(high, connections, brokers)


def planned(workload: Workload, gb_s: float, connections: int) -> Plan:
    found = (fleet if workload.log == "kafka" else box)(workload, gb_s, connections)
    bounds = [bound for bound in capacity.bounds(workload, found) if bound.gb_s < capacity.FITS]
    files, ledgers = capacity.puts_s(workload, gb_s)
    return Plan(
        workload=workload,
        fleet=found,
        gb_s=gb_s,
        busy_cores=capacity.cores_of(workload, found, gb_s),
        memory=found.nodes * capacity.node_memory(workload, found),
        first=bounds[0],
        then=bounds[1],
        ack=acks.of_fleet(workload, found, gb_s),
        puts_month=(files + ledgers) * MONTH_SECONDS,
        stored_day=gb_s * workload.deliveries * costs.stored(workload) * DAY_SECONDS,
    )


def bound_text(bound: Bound) -> str:
    if bound.gb_s == capacity.DOES_NOT_FIT:
        return f"{bound.part}, already ({bound.remedy})"
    return f"{bound.part}, at {rate(bound.gb_s)} ({bound.remedy})"


def lines(plan: Plan) -> list[str]:
    workload, found = plan.workload, plan.fleet
    records = plan.gb_s * GB / workload.event
    if workload.log == "kafka":
        where = f"{found.nodes:,} nodes of {value('cores'):.0f} cores and {found.brokers} brokers"
    else:
        where = f"one node of {found.cores} cores"
    cpu = f"{significant(plan.busy_cores / plan.gb_s)} CPU-seconds a GB: {significant(plan.busy_cores)} cores busy"
    return [
        f"load       {rate(plan.gb_s)}: {records:,.0f} events a second in {records / workload.batch:,.0f} requests",
        f"CPU        {cpu}",
        f"take       {where}; {space(plan.memory / GB)} of memory in all",
        f"acks       {seconds(plan.ack.p50)} in the median, {seconds(plan.ack.p99)} at p99, if the machine is theirs",
        f"store      {space(plan.stored_day)} a day, {plan.puts_month / 1e6:.3g} million PUT a month",
        f"log        {space(plan.gb_s * 3_600)} an hour",
        f"full first {bound_text(plan.first)}",
        f"then       {bound_text(plan.then)}",
    ]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    usual = Workload()
    parser.add_argument("rate", type=parsed, help="payload: 2TB/day, 300MB/s")
    parser.add_argument("--connections", type=int, default=1_000)
    parser.add_argument("--log", choices=["memory", "os", "fsync", "kafka"], default=usual.log)
    parser.add_argument("--format", choices=["gzip", "parquet", "none"], default=usual.format)
    for name in ("event", "batch", "deliveries", "readers", "shards", "streams", "partitions"):
        parser.add_argument(f"--{name}", type=int, default=getattr(usual, name))
    parser.add_argument("--interval", type=float, default=usual.interval, help="seconds after which a file is closed")


def run(options: argparse.Namespace) -> int:
    names = {field.name for field in dataclasses.fields(Workload)}
    workload = Workload(**{name: given for name, given in vars(options).items() if name in names})
    print("\n".join(lines(planned(workload, options.rate, options.connections))))
    return 0
