"""The server on core 0 and the load on core 1: what the scripts of this folder that measure a node beside an
S3-compatible store share. They run under `taskset -c 1 tests/infra/s3.sh`, so that the store has core 1 as well.
"""

import argparse
import dataclasses
import json
import os
import pathlib
import signal
import statistics
import subprocess
import sys
import time
import uuid

SERVER_CORE, LOAD_CORE = "0", "1"
START_SECONDS = 60
TEXT = {"type": ["string", "null"], "maxLength": 2048}
# Twelve fields of web server logs, three of them the load's own.
SCHEMA = {
    "type": "object",
    "required": ["client_ip", "timestamp", "method", "path", "status"],
    "properties": {
        "client_ip": {"type": "string", "minLength": 7, "maxLength": 45},
        "timestamp": {"type": "string", "format": "date-time"},
        "method": {"type": "string", "enum": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]},
        "path": {"type": "string", "minLength": 1, "maxLength": 2048},
        "protocol": TEXT,
        "status": {"type": "integer", "minimum": 100, "maximum": 599},
        "bytes": {"type": ["integer", "null"], "minimum": 0},
        "referrer": TEXT,
        "user_agent": TEXT,
        "producer": {"type": "string"},
        "sequence": {"type": "integer", "minimum": 0},
        "hash": {"type": "string"},
    },
}
FORMATS = {
    "parquet": 'format = "parquet"\ncompression = "snappy"',
    "gzip": 'format = "json"\ncompression = "gzip"',
}


def arguments(description, port):
    """A parser with the options that every script has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    release = pathlib.Path(__file__).resolve().parent.parent / "target" / "release"
    parser.add_argument("--binaries", type=pathlib.Path, default=release, help="folder of forebay and forebay-load")
    parser.add_argument("--budget", default="256MiB")
    parser.add_argument("--port", type=int, default=port, help="of the server; the next one is its admin port")
    return parser


def variable(name):
    return os.environ.get(name) or sys.exit(f"{name} is not set: run this under tests/infra/s3.sh")


def new_prefix(name):
    """A folder of the bucket that nothing is in."""
    return f"{name}-{uuid.uuid4().hex[:12]}"


def lake_url(prefix):
    return f's3://{variable("FOREBAY_S3_BUCKET")}/{prefix}/'


@dataclasses.dataclass
class Delivery:
    """A delivery of the stream into its own prefix of the bucket, unless `url` is elsewhere."""

    path: str
    prefix: str
    size: str = "64MiB"
    endpoint: str = ""
    url: str = ""

    def text(self):
        if self.url:
            sink = f'{{ url = "{self.url}" }}'
        else:
            endpoint = self.endpoint or variable("FOREBAY_S3_ENDPOINT")
            sink = f'{{ url = "{lake_url(self.prefix)}", endpoint = "{endpoint}", allow_http = true }}'
        buffer = f'{{ size = "{self.size}", interval = "60s" }}'
        text = f'[[delivery]]\nname = "{self.path}"\nsink = {sink}\nprefix = ""\n'
        return f"{text}{FORMATS[self.path]}\nbuffer = {buffer}\n"


def folder_of(root, options, durability, deliveries, server=""):
    """Writes a stream `web` of four shards, with these deliveries, and a node of one thread; `server` are more keys
    of `[server]`."""
    folder = pathlib.Path(root)
    (folder / "pipelines").mkdir(parents=True)
    (folder / "pipelines" / "schema.json").write_text(json.dumps(SCHEMA))
    stream = (
        f'[stream]\nname = "web"\nshards = 4\ndurability = "{durability}"\n'
        '[ingest]\npartition_key = "/client_ip"\nschema = "schema.json"\n'
    )
    (folder / "pipelines" / "web.toml").write_text(stream + "".join(delivery.text() for delivery in deliveries))
    (folder / "forebay.toml").write_text(
        f'memory_budget = "{options.budget}"\n[server]\nlisten = "127.0.0.1:{options.port}"\n'
        f'admin = "127.0.0.1:{options.port + 1}"\nthreads = 1\ndrain_timeout = "60s"\n{server}'
    )
    return folder


class Server:
    """A server with the files of `folder`, from its being ready on."""

    def __init__(self, options, folder):
        self.log = folder / "log"
        with self.log.open("w") as log:
            command = ["taskset", "-c", SERVER_CORE, options.binaries / "forebay", "serve"]
            self.process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        self.pid = self.process.pid
        began = time.monotonic()
        while '"serving"' not in self.log.read_text():
            if self.process.poll() is not None or time.monotonic() - began > START_SECONDS:
                sys.exit(f"the server does not start:\n{self.log.read_text()}")
            time.sleep(0.05)

    def drained(self):
        """Ends it and returns the resources that it has used in its whole life."""
        self.process.send_signal(signal.SIGTERM)
        _, status, usage = os.wait4(self.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        if self.process.returncode != 0:
            sys.exit(f"exit status of the server {self.process.returncode}\n{self.log.read_text()}")
        return usage

    def killed(self):
        self.process.kill()
        self.process.wait()

    def memory_bytes(self, name):
        """A line of its status: VmRSS, VmHWM."""
        lines = pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:"))


def load_command(options, *more):
    """`forebay-load run` on core 1, which reports in JSON."""
    command = ["taskset", "-c", LOAD_CORE, options.binaries / "forebay-load", "run", "--stream", "web", "--json", "-"]
    return [*command, "--file", options.events, "--url", f"http://127.0.0.1:{options.port}", *map(str, more)]


def load(options, server, *more, first=False):
    """The report of a load in which no request has failed. `first`: what sends has its core before all others after
    the first second, where that is allowed, so that the load's own delays do not count as the server's."""
    sending = subprocess.Popen(load_command(options, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if first and os.geteuid() == 0:
        time.sleep(1)
        put_first(sending.pid)
    report, errors = sending.communicate()
    if sending.returncode != 0:
        sys.exit(f"{errors.decode()}\n{report.decode()}\n{server.log.read_text()}")
    return json.loads(report)


def put_first(pid):
    """Real-time turns for all threads but the one that makes bodies: it hardly ever sleeps of its own accord, and the
    others would wait for it, and for the store."""

    def switches(thread):
        lines = pathlib.Path(f"/proc/{pid}/task/{thread}/status").read_text().splitlines()
        of_itself, pushed = (int(line.split()[1]) for line in lines if "voluntary_ctxt_switches:" in line)
        return pushed / (1 + of_itself)

    threads = [int(thread.name) for thread in pathlib.Path(f"/proc/{pid}/task").iterdir()]
    making = max(threads, key=switches)
    for thread in threads:
        if thread != making:
            os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(1))


def spread(values, digits=2):
    """Median, least and most."""
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"
