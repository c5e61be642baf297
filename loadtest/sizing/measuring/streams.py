"""What streams cost a node that nobody uses, and what it takes to tell their metrics."""

import pathlib
import tempfile
import time
import urllib.request

from measuring import node

STREAMS = (1, 1_000)
SHARDS = 4
SETTLE_SECONDS = 2
IDLE_SECONDS = 8
SCRAPES = 20


def pipeline(number: int, has_delivery: bool, folder: pathlib.Path) -> str:
    text = f'[stream]\nname = "s{number}"\nshards = {SHARDS}\ndurability = "fsync"\n'
    if has_delivery:
        text += f'[[delivery]]\nname = "lake"\nsink = {{ path = "{folder}/lake/s{number}" }}\nformat = "json"\n'
    return text


def measure(streams: int, has_delivery: bool, port: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root)
        (folder / "lake").mkdir()
        for number in range(streams if has_delivery else 0):
            (folder / "lake" / f"s{number}").mkdir()
        pipelines = {f"s{number}.toml": pipeline(number, has_delivery, folder) for number in range(streams)}
        node.write_config(folder, port, "[server]\n", pipelines)
        with node.running(folder) as server:
            time.sleep(SETTLE_SECONDS)
            resident, cpu = node.resident_of(server.pid), node.cpu_of(server.pid)
            time.sleep(IDLE_SECONDS)
            idle = (node.cpu_of(server.pid) - cpu) / IDLE_SECONDS
            cpu = node.cpu_of(server.pid)
            for _ in range(SCRAPES):
                page = urllib.request.urlopen(f"http://127.0.0.1:{port + 1}/metrics").read()
            scrape = (node.cpu_of(server.pid) - cpu) / SCRAPES
            node.stop(server, folder)
    series = sum(1 for line in page.splitlines() if line and not line.startswith(b"#"))
    return {"resident": resident, "idle": idle, "scrape": scrape, "series": series, "bytes": len(page)}


def run(port: int) -> None:
    for has_delivery in (False, True):
        few, many = (measure(streams, has_delivery, port) for streams in STREAMS)
        name = "stream_delivered" if has_delivery else "stream"
        each = {of: (many[of] - few[of]) / (STREAMS[1] - STREAMS[0]) for of in few}
        print(f"# with {STREAMS[0]} and {STREAMS[1]} streams of {SHARDS} shards: {few} {many}")
        print(f"{name}_bytes = {each['resident']:.0f}")
        print(f"{name}_idle_us_a_second = {each['idle'] * 1e6:.2f}")
        print(f"{name}_series = {each['series']:.1f}")
        print(f"{name}_scrape_us = {each['scrape'] * 1e6:.1f}")
        print(f"series_bytes = {many['bytes'] / many['series']:.0f}", flush=True)
