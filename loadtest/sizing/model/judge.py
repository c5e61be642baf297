"""The model beside what was measured and is not in it."""

import csv
import itertools
import pathlib
import statistics
from dataclasses import dataclass, replace

from model import acks, capacity, costs, fit
from model.acks import Acks
from model.inputs import value
from model.workload import GB, Fleet, Workload

ACKS = pathlib.Path(__file__).resolve().parents[1] / "acks.csv"
# Bytes of an event of the runs, with the load's envelope, and the stream's shards.
EVENT, SHARDS = 416, 4
# Of log and batch in ACKS: those of which not even the first row has given an input.
NO_SOURCES = {("memory", 100), ("kafka", 100)}


@dataclass(frozen=True)
class Verdict:
    """CPU-seconds a GB of all runs of one kind: the median of what was measured, and what the model says."""

    log: str
    format: str
    batch: int
    event: float
    runs: int
    measured: float
    predicted: float
    is_held_out: bool

    @property
    def error(self) -> float:
        return self.predicted / self.measured - 1.0


def kind(run: fit.Run) -> tuple:
    return run.log, run.format, run.batch, run.event


def verdicts() -> list[Verdict]:
    runs = sorted((run for run in fit.runs() if run.records), key=kind)
    found = []
    for (log, name, batch, _), group in itertools.groupby(runs, key=kind):
        alike = list(group)
        # Without a start and an end, which a node in production has once.
        start = costs.units()["start", "process"]
        measured = statistics.median((run.cpu - start) / run.payload_bytes * GB for run in alike)
        said = [fit.predicted(costs.units(), run) - start for run in alike]
        predicted = statistics.median(cpu / run.payload_bytes * GB for cpu, run in zip(said, alike, strict=True))
        event = sum(run.payload_bytes for run in alike) / sum(run.records for run in alike)
        found.append(Verdict(log, name, batch, event, len(alike), measured, predicted, alike[0].is_held_out))
    return found


@dataclass(frozen=True)
class AckVerdict:
    """`is_source`: the model knows the log, or the way to the client, from the median of this row."""

    log: str
    batch: int
    rate: float
    measured: Acks
    predicted: Acks
    is_source: bool


def ack_verdicts() -> list[AckVerdict]:
    """On the machine of the measurements: one core for the server, and its own disk and broker."""
    found, seen = [], set()
    way = value("own_client_ms") / 1e3
    log = acks.Log(
        tuple((size << 10, value(f"own_sync_{size}k_us") / 1e6) for size in (4, 64, 1024)),
        value("own_broker_ms") / 1e3,
        value("sync_spread"),
    )
    with ACKS.open(newline="") as rows:
        for row in csv.DictReader(rows):
            batch, rate = int(row["batch"]), float(row["requests_per_second"])
            service = cpu_of_request(row["log"], batch)
            workload = Workload(event=EVENT, batch=batch, log=row["log"], shards=SHARDS)
            simulated = acks.simulate(workload, acks.Load(rate, 1, service), log)
            predicted = Acks(simulated.p50 + way, simulated.p99 + way)
            measured = Acks(float(row["p50_ms"]) / 1e3, float(row["p99_ms"]) / 1e3)
            name = (row["log"], batch)
            is_source = name not in seen and name not in NO_SOURCES
            seen.add(name)
            found.append(AckVerdict(row["log"], batch, rate, measured, predicted, is_source))
    return found


def cpu_of_request(log: str, batch: int) -> float:
    """CPU-seconds."""
    amounts = {"request": 1, "record": batch, "byte": batch * EVENT, "set": 0}
    stages = ["edge"] + [log] * (log != "memory")
    return sum(costs.units()[stage, unit] * amounts[unit] for stage in stages for unit in fit.COSTS[stage])


def others() -> dict[str, float]:
    """What the model says of figures that were measured in other ways, by their names among the inputs."""
    asked = Workload(event=EVENT, batch=100, log="fsync", shards=SHARDS)
    parquet, gzip = (costs.whole(replace(asked, format=name)) for name in ("parquet", "gzip"))
    idle = capacity.node_memory(replace(asked, streams=0), Fleet(connections=0))
    connected = capacity.node_memory(replace(asked, streams=0), Fleet(connections=9_000))
    streams = capacity.node_memory(replace(asked, streams=299, shards=8), Fleet(connections=0))
    return {
        "whole_way_parquet": parquet,
        "whole_way_gzip": gzip,
        "connections_mb": (connected - idle) / 1e6,
        "streams_mb": (streams - idle) / 1e6,
    }
