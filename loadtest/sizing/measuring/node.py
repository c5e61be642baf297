"""A node of the release build on core 0, and the load generator on core 1, for measurements."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

RELEASE = pathlib.Path(__file__).resolve().parents[3] / "target" / "release"
START_SECONDS = 60
# Of the server alone; whatever measures stays on the other one.
SERVER_CORE, LOAD_CORE = 0, 1
STREAM = "web"


def variable(name: str) -> str:
    return os.environ.get(name) or sys.exit(f"{name} is not set: run this under tests/infra/s3.sh, or kafka.sh")


def write_config(folder: pathlib.Path, port: int, node: str, pipelines: dict[str, str]) -> None:
    (folder / "pipelines").mkdir(parents=True)
    for name, text in pipelines.items():
        (folder / "pipelines" / name).write_text(text)
    listeners = f'listen = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{port + 1}"\nthreads = 1\ndrain_timeout = "60s"\n'
    (folder / "forebay.toml").write_text(node.replace("[server]\n", f"[server]\n{listeners}"))


@contextlib.contextmanager
def running(folder: pathlib.Path) -> Iterator[subprocess.Popen]:
    """A node that takes records, and is gone afterwards, whatever fails."""
    server = start(folder)
    try:
        yield server
    finally:
        if server.returncode is None:
            server.kill()
            server.wait()


def start(folder: pathlib.Path) -> subprocess.Popen:
    """Returns once the node takes records; what it says is in the file `log` of its folder."""
    os.sched_setaffinity(0, {LOAD_CORE})
    with (folder / "log").open("w") as log:
        command = ["taskset", "-c", str(SERVER_CORE), RELEASE / "forebay", "serve"]
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
    began = time.monotonic()
    while '"serving"' not in (folder / "log").read_text():
        if server.poll() is not None or time.monotonic() - began > START_SECONDS:
            server.kill()
            sys.exit(f"the server does not start:\n{(folder / 'log').read_text()}")
        time.sleep(0.02)
    return server


def stop(server: subprocess.Popen, folder: pathlib.Path) -> tuple[float, float]:
    """CPU-seconds and the most resident MB of its whole life, drain and last upload among them."""
    server.send_signal(signal.SIGTERM)
    _, status, usage = os.wait4(server.pid, 0)
    server.returncode = os.waitstatus_to_exitcode(status)
    if status != 0:
        sys.exit(f"exit status of the server {status}\n{(folder / 'log').read_text()}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3


def cpu_of(pid: int) -> float:
    """CPU-seconds so far; the kernel counts them in hundredths."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_of(pid: int) -> int:
    """Bytes."""
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def load(port: int, *options: str) -> dict:
    """The report of a run of the load generator."""
    command = ["taskset", "-c", str(LOAD_CORE), RELEASE / "forebay-load", "run", "--stream", STREAM, "--json", "-"]
    ran = subprocess.run([*command, "--url", f"http://127.0.0.1:{port}", *options], capture_output=True)
    if ran.returncode != 0:
        sys.exit(f"the load has failed: {ran.stderr.decode()}{ran.stdout.decode()}")
    return json.loads(ran.stdout)
