"""Measures what the model is made of, with a release build: the server on core 0, everything else on core 1."""

import argparse
import itertools
import pathlib

from measuring import acks, connections, disk, points, readers, streams
from measuring.points import Point
from model.fit import RUNS


def whole_way(options: argparse.Namespace) -> None:
    """Appends to whole_way.csv."""
    axes = (options.formats.split(","), options.batches.split(","), options.sizes.split(","))
    for _ in range(options.rounds):
        for name, batch, size in itertools.product(*axes):
            point = Point(options.log, name, int(batch), int(size))
            run = points.measure(point, options.events.resolve(), options.seconds, options.rate, options.port)
            points.append([run], RUNS)
            print(run, flush=True)


def acks_of_rates(options: argparse.Namespace) -> None:
    """Appends to acks.csv."""
    acks.run(options.events.resolve(), options.log.split(","), options.port)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(port=18_900)
    what = parser.add_subparsers(required=True)
    runs = what.add_parser("whole-way", help="CPU time of whole runs, for whole_way.csv")
    runs.set_defaults(figure=whole_way)
    runs.add_argument("events", type=pathlib.Path, help="NDJSON of web events, also in gzip")
    runs.add_argument("--log", default="fsync", choices=["memory", "os", "fsync", "kafka"])
    runs.add_argument("--formats", default="none", help="of none, gzip, parquet, gzip+parquet")
    runs.add_argument("--batches", default="100")
    runs.add_argument("--sizes", default="0", help="bytes of an event with the load's envelope; 0 as they are")
    runs.add_argument("--seconds", type=float, default=3.0, help="of load; 0 starts and ends the server alone")
    runs.add_argument("--rate", type=int, default=0, help="records a second; 0 is as fast as they are answered")
    runs.add_argument("--rounds", type=int, default=2)
    times = what.add_parser("acks", help="times of acks, for acks.csv")
    times.set_defaults(figure=acks_of_rates)
    times.add_argument("events", type=pathlib.Path, help="NDJSON of web events, also in gzip")
    times.add_argument("--log", default="memory,fsync", help="of memory, fsync, kafka")
    modules = {"connections": connections, "disk": disk, "readers": readers, "streams": streams}
    for name, module in modules.items():
        figures = what.add_parser(name, help=module.__doc__)
        figures.set_defaults(figure=lambda options, module=module: module.run(options.port))


def run(options: argparse.Namespace) -> int:
    options.figure(options)
    return 0
