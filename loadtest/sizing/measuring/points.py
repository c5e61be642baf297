"""What the whole way costs at other sizes of events and requests than those of loadtest/whole_way.py."""

import csv
import json
import pathlib
import subprocess
import sys
import tempfile
import uuid
from dataclasses import astuple, dataclass, fields

from measuring import events, node
from model.fit import Run

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2]))
import pinned_server  # noqa: E402

# Bodies that are larger than this come over fewer connections, so that they are not all of the memory budget.
LARGE_BODY = 1_000_000


@dataclass(frozen=True)
class Point:
    """What is measured: `log` is memory, os, fsync or kafka; `format` what is delivered to S3, such as gzip+parquet."""

    log: str
    format: str
    batch: int
    event: int


def make_topic(name: str) -> None:
    """By the Python of tests/infra/kafka.sh, which has a client of Kafka."""
    script = (
        "from confluent_kafka.admin import AdminClient, NewTopic; import sys; "
        "client = AdminClient({'bootstrap.servers': sys.argv[1]}); "
        "[made.result() for made in client.create_topics([NewTopic(sys.argv[2], 4, 1)]).values()]"
    )
    command = [node.variable("FOREBAY_PYTHON"), "-c", script, node.variable("FOREBAY_KAFKA"), name]
    subprocess.run(command, check=True)


def config(folder: pathlib.Path, port: int, point: Point, prefix: str) -> None:
    stream = f'[stream]\nname = "{node.STREAM}"\nshards = 4\n'
    kafka = ""
    if point.log == "kafka":
        make_topic(prefix)
        kafka = f'[[kafka]]\nname = "main"\nbrokers = ["{node.variable("FOREBAY_KAFKA")}"]\n'
        stream += f'log = {{ kafka = "main", topic = "{prefix}" }}\n'
    else:
        stream += f'durability = "{point.log}"\n'
    stream += '[ingest]\npartition_key = "/client_ip"\nschema = "schema.json"\n'
    for name in [] if point.format == "none" else point.format.split("+"):
        sink = f's3://{node.variable("FOREBAY_S3_BUCKET")}/{prefix}/{name}/'
        endpoint = node.variable("FOREBAY_S3_ENDPOINT")
        stream += f'[[delivery]]\nname = "{name}"\n'
        stream += f'sink = {{ url = "{sink}", endpoint = "{endpoint}", allow_http = true }}\n'
        stream += f'prefix = ""\n{pinned_server.FORMATS[name]}\nbuffer = {{ size = "64MiB", interval = "60s" }}\n'
    schema = json.dumps(pinned_server.SCHEMA)
    node.write_config(folder, port, f"{kafka}[server]\n", {"web.toml": stream, "schema.json": schema})


def measure(point: Point, source: pathlib.Path, seconds: float, rate: int, port: int) -> Run:
    """One run at `rate` records a second, or as fast as they are answered if that is 0; with no seconds the server is
    started and ended and nothing else."""
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root)
        config(folder, port, point, f"sizing-{uuid.uuid4().hex[:12]}")
        events.of_size(source, point.event, folder / "events.ndjson")
        connections = "4" if point.batch * point.event > LARGE_BODY else "16"
        options = ["--file", str(folder / "events.ndjson"), "--batch", str(point.batch), "--retry"]
        options += ["--connections", connections, "--producers", connections, "--duration", f"{seconds}s"]
        if rate:
            options += ["--mode", "open", "--rate", str(rate)]
        if point.log == "kafka":
            # Streams in Kafka refuse keys of idempotency: nothing is tried again there.
            options.append("--idempotent=false")
        ran = {"payload_bytes": 0, "seconds": 0.0, "records": {"acked": 0}, "requests": {"total": 0}}
        with node.running(folder) as server:
            if seconds:
                ran = node.load(port, *options)
            cpu, resident = node.stop(server, folder)
    amounts = (ran["records"]["acked"], ran["requests"]["total"], ran["payload_bytes"], ran["seconds"])
    return Run(*astuple(point), *amounts, cpu, resident)


def append(rows: list[Run], target: pathlib.Path) -> None:
    is_new = not target.exists()
    with target.open("a", newline="") as out:
        writer = csv.writer(out, lineterminator="\n")
        if is_new:
            writer.writerow(field.name for field in fields(Run))
        for row in rows:
            writer.writerow(f"{value:.4g}" if isinstance(value, float) else value for value in astuple(row))
