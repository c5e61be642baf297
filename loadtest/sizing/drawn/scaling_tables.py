"""The tables of docs/scaling.md."""

from dataclasses import replace

import plan
from drawn.text import rate, seconds, significant, space
from model import acks, capacity, costs, fit, judge, storm
from model.capacity import Bound
from model.inputs import inputs
from model.limits import limit
from model.workload import GB, Fleet, Workload

NODES = (1, 3, 10, 100, 1_000)
CONNECTIONS = (1_000, 10_000, 100_000, 1_000_000)
EVENTS = (100, 200, 400, 1_000, 4_000, 16_000)
BATCHES = (1, 10, 100, 1_000)
# Of the first full part: what one would plan with.
PLANNED = 0.6
BOX = Workload(event=400, batch=100, log="fsync", format="parquet", shards=4)
FLEET = replace(BOX, log="kafka", shards=96)
NAMES = {
    "start": "a start and an end",
    "edge": "receive, check by a schema, partition, append in memory, answer",
    "os": "log on the node, `os`",
    "fsync": "log on the node, `fsync`",
    "kafka": "log in Kafka: produce",
    "fetch": "log in Kafka: fetch for a delivery",
    "gzip": "delivery as GZIP JSON to S3",
    "parquet": "delivery as Snappy Parquet to S3",
}


def cpu_costs() -> list[list[str]]:
    rows = [["stage", "µs a request", "µs a record", "ns a byte"]]
    for stage, what in NAMES.items():
        if stage == "start":
            continue
        of = {unit: costs.units().get((stage, unit)) for unit in ("request", "record", "byte")}
        scale = {"request": 1e6, "record": 1e6, "byte": 1e9}
        figures = ["" if cost is None else significant(cost * scale[unit]) for unit, cost in of.items()]
        rows.append([f"`{stage}`: {what}", *figures])
    return rows


def producing() -> list[list[str]]:
    """What requests to the brokers are, and what they add to a GB, at 10 MB/s a node."""
    head = ["nodes", "shards", "events of a request", "requests/s of a node to brokers", "CPU-seconds a GB"]
    rows = [[*head, "time between two to a partition"]]
    for nodes, shards in ((3, 4), (3, 96), (100, 96), (1_000, 96)):
        for batch in (1, 100):
            workload, fleet = replace(FLEET, batch=batch, shards=shards), Fleet(nodes)
            gb_s = 0.01 * nodes
            sent = costs.sets(workload, fleet, gb_s)
            cost = costs.producing(workload, fleet, gb_s) / gb_s
            waits = costs.waits_for_brokers(workload, fleet, gb_s)
            every = seconds(costs.gather_s(workload, fleet)) if waits else "alone"
            figures = [f"{shards}", f"{batch}", f"{sent / nodes:,.0f}", significant(cost), every]
            rows.append([f"{nodes:,}", *figures])
    return rows


def percent(part: float) -> str:
    return f"{part:+.0%}".replace("-", "−")


def held_out() -> list[list[str]]:
    rows = [["log", "delivery", "records of a request", "bytes of a record", "runs", "measured", "model", "error"]]
    for verdict in judge.verdicts():
        if verdict.is_held_out:
            name = "none" if verdict.format == "none" else verdict.format
            figures = [f"{verdict.batch:,}", f"{verdict.event:,.0f}", f"{verdict.runs}"]
            figures += [significant(verdict.measured, 3), significant(verdict.predicted, 3), percent(verdict.error)]
            rows.append([verdict.log, name, *figures])
    return rows


def others() -> list[list[str]]:
    """Figures that were measured in other ways than those that the model is made of."""
    rows = [["what", "measured with", "measured", "model", "error"]]
    for name, predicted in judge.others().items():
        each = inputs()[name]
        error = percent(predicted / each.value - 1.0)
        rows.append([each.of, each.source, significant(each.value, 3), significant(predicted, 3), error])
    return rows


def used() -> list[list[str]]:
    """How well the fit describes what it was made of, by log and delivery."""
    rows = [["log", "delivery", "kinds of runs", "least error", "greatest"]]
    groups: dict[tuple[str, str], list[float]] = {}
    for verdict in judge.verdicts():
        if not verdict.is_held_out:
            groups.setdefault((verdict.log, verdict.format), []).append(verdict.error)
    for (log, name), errors in sorted(groups.items()):
        rows.append([log, name, f"{len(errors)}", percent(min(errors)), percent(max(errors))])
    return rows


def judged_acks() -> list[list[str]]:
    rows = [["log", "records of a request", "requests/s", "p50 measured", "model", "p99 measured", "model"]]
    for verdict in judge.ack_verdicts():
        times = [verdict.measured.p50, verdict.predicted.p50, verdict.measured.p99, verdict.predicted.p99]
        figures = [seconds(time) for time in times]
        if verdict.is_source:
            figures[1] += " *"
        rows.append([verdict.log, f"{verdict.batch}", f"{verdict.rate:,.0f}", *figures])
    return rows


def by_size() -> list[list[str]]:
    rows = [["bytes of an event"] + [f"{batch:,} a request" for batch in BATCHES]]
    for event in EVENTS:
        figures = [significant(costs.whole(replace(BOX, event=event, batch=batch))) for batch in BATCHES]
        rows.append([f"{event:,}", *figures])
    return rows


# What differs from a box with requests of 100 events of 400 bytes, `fsync`, four shards and one delivery as Parquet.
AXES: list[tuple[str, Workload]] = [
    ("nothing", BOX),
    ("durability `memory`", replace(BOX, log="memory")),
    ("durability `os`", replace(BOX, log="os")),
    ("log in Kafka", replace(BOX, log="kafka")),
    ("single events", replace(BOX, batch=1)),
    ("single events, durability `memory`", replace(BOX, batch=1, log="memory")),
    ("single events, log in Kafka", replace(BOX, batch=1, log="kafka")),
    ("GZIP JSON", replace(BOX, format="gzip")),
    ("no delivery", replace(BOX, format="none", deliveries=0)),
    ("two deliveries", replace(BOX, deliveries=2)),
    ("500 open partitions", replace(BOX, partitions=500)),
    ("2,000 open partitions", replace(BOX, partitions=2_000)),
    ("2,000 open partitions, GZIP JSON", replace(BOX, partitions=2_000, format="gzip")),
    ("1 shard", replace(BOX, shards=1)),
    ("100 shards, records of each request to all of them", replace(BOX, shards=100)),
    ("1 live reader of everything", replace(BOX, readers=1)),
    ("10 live readers of everything", replace(BOX, readers=10)),
]


def by_axis() -> list[list[str]]:
    rows = [["other than the box", "ingest", "deliveries", "readers", "CPU-seconds a GB", "÷ the box"]]
    for name, workload in AXES:
        parts = [costs.ingest(workload), workload.deliveries * costs.delivery(workload), costs.reading(workload)]
        whole = costs.whole(workload)
        ratio = significant(whole / costs.whole(BOX))
        rows.append([name, *(significant(part) for part in parts), significant(whole), ratio])
    return rows


def bound(found: Bound) -> list[str]:
    if found.gb_s == capacity.DOES_NOT_FIT:
        return [found.part, "does not fit"]
    return [found.part, rate(found.gb_s)]


def sweep(workload: Workload) -> list[list[str]]:
    head = ["nodes", "connections", "full first", "at", "then", "at", "then", "at"]
    rows = [[*head, f"ack p50 at {PLANNED:.0%}", "p99"]]
    for nodes in NODES:
        asked = workload if nodes > 1 else replace(workload, log=BOX.log, shards=BOX.shards)
        for connections in CONNECTIONS:
            fleet = Fleet(nodes, connections)
            bounds = capacity.bounds(asked, fleet)
            parts = fitted_together(bounds)
            found = acks.of_fleet(asked, fleet, PLANNED * capacity.throughput(bounds))
            figures = [cell for each in parts for cell in bound(each)]
            rows.append([f"{nodes:,}", f"{connections:,}", *figures, seconds(found.p50), seconds(found.p99)])
    return rows


def fitted_together(bounds: list[Bound]) -> list[Bound]:
    """The first three, where all that does not fit is one of them."""
    missing = [each for each in bounds if each.gb_s == capacity.DOES_NOT_FIT]
    rest = [each for each in bounds if each.gb_s > capacity.DOES_NOT_FIT]
    together = [Bound(", ".join(each.part for each in missing), capacity.DOES_NOT_FIT, "")] if missing else []
    return (together + rest)[:3]


def sweep_singles() -> list[list[str]]:
    return sweep(replace(FLEET, batch=1))


def sweep_batches() -> list[list[str]]:
    return sweep(FLEET)


STREAMS = (1, 10, 100, 1_000)


def by_streams() -> list[list[str]]:
    head = ["streams", "memory of a node for them", "series of a node", "of the fleet", "sockets of a broker"]
    rows = [[*head, "requests of a broker for them, 1/s", "replicas of a broker", "does not fit"]]
    for streams in STREAMS:
        workload = replace(FLEET, streams=streams, shards=12)
        fleet = Fleet(100, 10_000)
        bounds = capacity.bounds(workload, fleet)
        missing = ", ".join(each.part for each in bounds if each.gb_s == capacity.DOES_NOT_FIT)
        idle = capacity.node_memory(workload, fleet) - capacity.node_memory(replace(workload, streams=0), fleet)
        of_node, brokers = capacity.series(workload), capacity.broker_load(workload, fleet)
        figures = [space(idle / GB), f"{of_node:,.0f}", f"{fleet.nodes * of_node:,.0f}"]
        figures += [f"{brokers.sockets:,.0f}", f"{brokers.requests:,.0f}", f"{brokers.replicas:,.0f}"]
        rows.append([f"{streams:,}", *figures, missing or "–"])
    return rows


STORES = ((12, 1), (96, 1), (96, 100), (96, 500), (96, 2_000), (1_000, 1), (1_000, 100), (4_000, 100))


def by_partitions() -> list[list[str]]:
    head = ["shards", "open partitions of each", "files a second", "PUT of files", "PUT of ledgers", "bytes a file"]
    rows = [[*head, "upload slots used", "does not fit"]]
    for shards, partitions in STORES:
        workload = replace(FLEET, shards=shards, partitions=partitions)
        files, ledgers = capacity.puts_s(workload, 1.0)
        missing = [each.part for each in capacity.store_bounds(workload) if each.gb_s < 1.0]
        figures = [significant(workload.all_workers * capacity.files_s(workload, 1.0)), significant(files)]
        figures += [significant(ledgers), space(capacity.file_bytes(workload, 1.0) / GB)]
        used_slots = f"{capacity.slots_s(workload, 1.0) / limit('DELIVERY_UPLOADS_MAX'):.0%}"
        rows.append([f"{shards:,}", f"{partitions:,}", *figures, used_slots, ", ".join(missing) or "–"])
    return rows


# Nodes, connections, lost nodes. There are so many brokers that the CPU of the nodes is what is full first.
STORMS = (
    (3, 10_000, 1), (3, 100_000, 1), (3, 1_000_000, 1), (10, 1_000_000, 1), (10, 1_000_000, 3), (100, 1_000_000, 1),
    (100, 1_000_000, 33), (1_000, 1_000_000, 1), (1_000, 1_000_000, 333),
)
def storms() -> list[list[str]]:
    head = ["nodes", "connections", "lost", "payload", "connected again after", "most that wait for a node"]
    rows = [[*head, "times that a client gives up", "shards move after", "all caught up after"]]
    workload = replace(FLEET, batch=1, shards=1_200)
    for nodes, connections, lost in STORMS:
        fleet = Fleet(nodes, connections, brokers=3 + nodes // 30, connections_max=1_000_000)
        gb_s = capacity.throughput(capacity.bounds(workload, fleet))
        found = storm.of_fleet(workload, fleet, gb_s, lost)
        figures = [rate(gb_s), seconds(found.connected), f"{found.waiting:,.0f}", significant(found.gave_up)]
        figures += [seconds(found.shards_move), seconds(found.caught_up)]
        rows.append([f"{nodes:,}", f"{connections:,}", f"{lost:,}", *figures])
    return rows


# What the page begins with: 2 TB a day of 400-byte events from 200,000 devices.
ASKED = plan.parsed("2 TB/day")
DEVICES = 200_000


def example() -> list[list[str]]:
    head = ["where", "events of a request", "requests/s", "CPU-seconds a GB", "cores busy", "take", "memory"]
    rows = [[*head, "ack p50 / p99", "million PUT a month", "full first", "at"]]
    for log, shards in (("fsync", BOX.shards), ("kafka", 12)):
        for batch in (1, 10, 100):
            workload = replace(BOX, log=log, shards=shards, batch=batch)
            found = plan.planned(workload, ASKED, DEVICES)
            nodes = found.fleet
            take = f"{nodes.nodes} nodes, {nodes.brokers} brokers"
            if log == "fsync":
                take = "1 core" if nodes.cores == 1 else f"{nodes.cores} cores"
            growing = [b for b in capacity.bounds(workload, nodes) if b.gb_s > capacity.DOES_NOT_FIT][0]
            figures = [f"{ASKED * GB / workload.request:,.0f}", significant(found.busy_cores / ASKED)]
            figures += [significant(found.busy_cores), take, space(found.memory / GB)]
            figures += [f"{seconds(found.ack.p50)} / {seconds(found.ack.p99)}", significant(found.puts_month / 1e6)]
            where = "one box" if log == "fsync" else "fleet, Kafka"
            rows.append([where, f"{batch}", *figures, growing.part, rate(growing.gb_s)])
    return rows


def remedies() -> list[list[str]]:
    rows = [["full", "what to do"]]
    local, fleet = replace(BOX, readers=1), replace(FLEET, readers=1)
    found = capacity.bounds(local, Fleet()) + capacity.bounds(fleet, Fleet(10))
    by_part = {each.part: each.remedy for each in found}
    by_name = sorted(by_part.items(), key=lambda row: row[0].strip("`").lower())
    return rows + [[part, remedy] for part, remedy in by_name]


def given(kind: str) -> list[list[str]]:
    rows = [["input", "value", "of", "from"]]
    for each in inputs().values():
        if each.kind == kind:
            rows.append([f"`{each.name}`", f"{each.value:,.10g}", each.of, each.source])
    return rows


def runs() -> list[list[str]]:
    """How many runs of each log and delivery the costs follow from."""
    rows = [["log", "delivery", "runs", "of them to judge by", "records", "GB"]]
    groups: dict[tuple[str, str], list[fit.Run]] = {}
    for run in fit.runs():
        if run.records:
            groups.setdefault((run.log, run.format), []).append(run)
    for (log, name), alike in sorted(groups.items()):
        judges = sum(run.is_held_out for run in alike)
        records, size = sum(run.records for run in alike), sum(run.payload_bytes for run in alike) / GB
        rows.append([log, name, f"{len(alike)}", f"{judges}", f"{records:,}", f"{size:.2f}"])
    return rows
