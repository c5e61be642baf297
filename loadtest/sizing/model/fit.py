"""CPU time of each stage by request, record and byte, from measured runs of the whole server.

Each run gives one equation: its CPU-seconds are the sum of what its stages take, each of them so much a request, a
record and a byte. All equations are solved together for the least sum of squared *relative* errors, with no cost below
zero. Some runs are left out (`HELD_OUT`): they judge the result.
"""

import csv
import pathlib
from dataclasses import dataclass

from model.limits import limit

RUNS = pathlib.Path(__file__).resolve().parents[1] / "whole_way.csv"
# What a stage can cost by. The edge pays for requests; a delivery sees records and bytes, whatever they came in.
COSTS = {
    "start": ("process",),
    "edge": ("request", "record", "byte"),
    "os": ("request", "byte"),
    "fsync": ("request", "byte"),
    # A *set* is what goes to one partition at a time: one request to a broker.
    "kafka": ("set", "request", "record", "byte"),
    # The broker of the runs answers every fetch at once, also one that finds nothing, so that clients ask all the time.
    # A broker of Kafka waits. What that costs a second is told apart, and belongs to nothing else.
    "fetch": ("second", "record", "byte"),
    "gzip": ("record", "byte"),
    "parquet": ("record", "byte"),
}
# (batch, size of events): neither of any log nor of any format are they used for the fit.
HELD_OUT = {(10, 0), (100, 1000), (30, 700)}
# Of the topics of the runs.
PARTITIONS = 4
SWEEPS = 20_000


@dataclass(frozen=True)
class Run:
    """One row of RUNS; with no seconds a start and an end. CPU-seconds and memory are of the server's whole life."""

    log: str
    format: str
    batch: int
    event: int
    records: int
    requests: int
    payload_bytes: int
    seconds: float
    cpu: float
    resident_mb: float

    @property
    def is_held_out(self) -> bool:
        return self.records > 0 and (self.batch, self.event) in HELD_OUT

    def stages(self) -> list[str]:
        """Those that this run has beside `start`."""
        found = ["edge"] + [self.log] * (self.log != "memory")
        if self.format != "none":
            for name in self.format.split("+"):
                found += ["fetch"] * (self.log == "kafka") + [name]
        return found

    def amounts(self) -> dict[tuple[str, str], float]:
        """What this run has of everything that costs something."""
        of = {
            "process": 1,
            "second": self.seconds,
            "set": sets(self.requests, self.batch, PARTITIONS, self.seconds / linger_s()),
            "request": self.requests,
            "record": self.records,
            "byte": self.payload_bytes,
        }
        found: dict[tuple[str, str], float] = {}
        for stage in ["start", *self.stages()]:
            for unit in COSTS[stage]:
                found[stage, unit] = found.get((stage, unit), 0.0) + of[unit]
        return found


def linger_s() -> float:
    """Seconds for which the client of Kafka waits for more."""
    return limit("KAFKA_LINGER_MS") / 1e3


def sets(requests: float, batch: int, partitions: int, lingers: float) -> float:
    """How many there are of `requests` in so many lingers of the client: one of each partition that a request has
    records of, or fewer where what comes within a linger goes together."""
    return min(requests * min(batch, partitions), partitions * lingers)


def runs() -> list[Run]:
    with RUNS.open(newline="") as rows:
        return [
            Run(
                row["log"], row["format"], int(row["batch"]), int(row["event"]), int(row["records"]),
                int(row["requests"]), int(row["payload_bytes"]), float(row["seconds"]), float(row["cpu"]),
                float(row["resident_mb"]),
            )
            for row in csv.DictReader(rows)
        ]


def fitted(measured: list[Run]) -> dict[tuple[str, str], float]:
    """CPU-seconds a unit, by stage and unit, by descent along one of them after the other."""
    used = [run for run in measured if not run.is_held_out]
    equations = [{name: amount / run.cpu for name, amount in run.amounts().items()} for run in used]
    costs = {name: 0.0 for equation in equations for name in equation}
    squares = {name: sum(equation.get(name, 0.0) ** 2 for equation in equations) for name in costs}
    rows_of = {name: [row for row, equation in enumerate(equations) if name in equation] for name in costs}
    # What is still to be explained of each run, of 1.
    left = [1.0] * len(equations)
    for _ in range(SWEEPS):
        largest = 0.0
        for name in costs:
            slope = sum(equations[row][name] * left[row] for row in rows_of[name])
            change = max(-costs[name], slope / squares[name])
            costs[name] += change
            for row in rows_of[name]:
                left[row] -= change * equations[row][name]
            largest = max(largest, abs(change) * squares[name] ** 0.5)
        if largest < 1e-9:
            break
    return costs


def predicted(costs: dict[tuple[str, str], float], run: Run) -> float:
    """CPU-seconds of a run."""
    return sum(costs[name] * amount for name, amount in run.amounts().items())
