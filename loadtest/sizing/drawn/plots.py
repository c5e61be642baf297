"""The pictures of docs/scaling.md."""

from dataclasses import replace

from drawn import chart
from drawn.chart import Axis, Line
from drawn.text import significant
from model import capacity, costs, judge
from model.workload import Fleet, Workload

BATCHES = [round(10 ** (step / 10)) for step in range(31)]
NODES = [round(10 ** (step / 10)) for step in range(31)]
# Bytes of events, and of those measured ones that are drawn beside them.
EVENTS = {260: (250, 265), 415: (405, 420), 1_000: (990, 1_010), 4_000: (3_990, 4_010)}


def number(value: float) -> str:
    return significant(value, 1)


def cost_by_batch() -> str:
    """CPU time a GB of the whole way into Parquet."""
    points = [verdict for verdict in judge.verdicts() if (verdict.log, verdict.format) == ("fsync", "parquet")]
    lines = []
    for event, (low, high) in EVENTS.items():
        dots = [(point.batch, point.measured) for point in points if low <= point.event <= high]
        curve = [(batch, costs.whole(Workload(event=event, batch=batch))) for batch in dict.fromkeys(BATCHES)]
        lines.append(Line(f"events of {event:,} bytes", curve, dots))
    across = Axis("records of a request", 1, 1_000, number)
    up = Axis("CPU-seconds a GB", 1, 1_000, number)
    return chart.drawn("HTTP to Parquet on S3, fsync: model (lines), measured (dots)", across, up, lines)


# Of the bounds, by their parts; the others are the same as the nodes' CPU, or do not depend on the throughput.
DRAWN = (
    "CPU of the nodes", "network of the nodes", "network of the brokers", "one task a shard",
    "nodes with shards to deliver", "producers that wait for acks",
)


def bounds_by_nodes() -> str:
    """What each part of a fleet can take."""
    workload = replace(Workload(), log="kafka", shards=96)
    curves = {part: [] for part in DRAWN}
    single = []
    for nodes in dict.fromkeys(NODES):
        fleet = Fleet(nodes, connections=10_000)
        for bound in capacity.bounds(workload, fleet):
            if bound.part in curves:
                curves[bound.part].append((nodes, bound.gb_s))
        bounds = capacity.bounds(replace(workload, batch=1), fleet)
        single += [(nodes, bound.gb_s) for bound in bounds if bound.part == "CPU of the nodes"]
    lines = [Line(part, curve) for part, curve in curves.items()]
    lines.append(Line("CPU, single events", single, is_dashed=True))
    across = Axis("nodes of 2 cores; 3 brokers, 96 shards, 10,000 connections", 1, 1_000, number)
    up = Axis("GB/s", 0.01, 1_000, number)
    return chart.drawn("What is full first: requests of 100 events of 400 bytes", across, up, lines)


PLOTS = {"scaling-cost.svg": cost_by_batch, "scaling-bounds.svg": bounds_by_nodes}
