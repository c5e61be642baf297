#!/usr/bin/env python3
"""What identity, policy and limits cost: single events against servers that differ in their gate alone.

    cargo build --release --workspace
    loadtest/gate.py [--rounds 9] [--seconds 4] [--durability memory] [--gates open,key]

The servers take turns in each round, on core 0, with the load on core 1. The first round only warms up. Printed are
requests a second and CPU time of the server a request: the median of all rounds, and the ratio to the open server's.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

RELEASE = pathlib.Path(__file__).resolve().parent.parent / "target" / "release"
SECRET = "a secret of the issuer, of more than 32 bytes"
# Never short of anything: it is the look that is measured.
RATES = "{ records_per_second = 1000000000, bytes_per_second = \"1000GiB\" }"
LIMITS = f"[limits]\nglobal = {RATES}\nclient_address = {RATES}\n"
START_SECONDS = 60


def key_of(number):
    return f"key-of-client-number-{number:06d}"


def keys(count):
    table = (
        '[[api_key]]\nname = "client-{number}"\nkey = "{key}"\nallow = ["ingest:*"]\nlimit = {rates}\n'
        'quota = {{ records = 1000000000000, period = "month" }}\n'
    )
    return "".join(table.format(number=number, key=key_of(number), rates=RATES) for number in range(count))


def token():
    def part(data):
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()

    claims = {"iss": "https://issuer.example", "aud": "forebay", "sub": "app", "exp": int(time.time()) + 86_400}
    signed = part(json.dumps({"alg": "HS256"}).encode()) + "." + part(json.dumps(claims).encode())
    return signed + "." + part(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())


def gates():
    """By name: what stands in forebay.toml, and what the load shows of itself."""
    issuer = (
        '[[jwt_issuer]]\nissuer = "https://issuer.example"\naudience = ["forebay"]\nalgorithms = ["HS256"]\n'
        f'secret = "{SECRET}"\nallow = ["ingest:*"]\nlimit = {RATES}\n'
    )
    by_key = '[auth]\ningest = ["api_key"]\n' + LIMITS
    return {
        "open": ("", None),
        "key": (by_key + keys(100), key_of(42)),
        "key_of_10000": (by_key + keys(10_000), key_of(4_242)),
        "token": ('[auth]\ningest = ["jwt"]\n' + LIMITS + issuer, token()),
        "open_with_access_log": ('[access_log]\npath = "access.log"\n', None),
    }


def folder_of(root, name, gate, port, durability):
    folder = root / name
    (folder / "pipelines").mkdir(parents=True)
    limit = f"limit = {RATES}\n" if "[limits]" in gate else ""
    (folder / "pipelines" / "events.toml").write_text(
        f'[stream]\nname = "clickstream"\nshards = 4\ndurability = "{durability}"\n'
        f'[ingest]\npartition_key = "/session_id"\n{limit}'
    )
    listen = f'listen = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{port + 1}"\n'
    (folder / "forebay.toml").write_text(f"[server]\n{listen}{gate}")
    return folder


def measure(folder, port, shown, options):
    shutil.rmtree(folder / "data", ignore_errors=True)
    log = folder / "log"
    with log.open("w") as out:
        server = subprocess.Popen(
            ["taskset", "-c", "0", RELEASE / "forebay", "serve"], cwd=folder, stdout=out, stderr=out
        )
    try:
        began = time.monotonic()
        while '"serving"' not in log.read_text():
            if server.poll() is not None or time.monotonic() - began > START_SECONDS:
                sys.exit(f"the server does not start:\n{log.read_text()}")
            time.sleep(0.05)
        load = ["taskset", "-c", "1", RELEASE / "forebay-load", "run", "--url", f"http://127.0.0.1:{port}"]
        load += ["--batch", "1", "--connections", "32", "--duration", f"{options.seconds}s"]
        load += ["--server-pid", str(server.pid), "--json", "-"]
        environment = {**os.environ, "FOREBAY_API_KEY": shown or ""}
        report = json.loads(subprocess.run(load, env=environment, check=True, capture_output=True).stdout)
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()
    acked = report["records"]["acked"]
    return acked / report["seconds"], report["server"]["cpu_seconds"] / acked * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=4)
    parser.add_argument("--durability", default="memory")
    parser.add_argument("--gates", default=",".join(gates()))
    parser.add_argument("--port", type=int, default=18_500)
    options = parser.parse_args()
    wanted = {name: gates()[name] for name in options.gates.split(",")}
    results = {name: [] for name in wanted}
    with tempfile.TemporaryDirectory() as root:
        servers = {}
        for index, (name, (gate, shown)) in enumerate(wanted.items()):
            port = options.port + 2 * index
            folder = folder_of(pathlib.Path(root), name, gate, port, options.durability)
            servers[name] = (folder, port, shown)
        for each in range(options.rounds + 1):
            for name, server in servers.items():
                result = measure(*server, options)
                if each > 0:
                    results[name].append(result)
    medians = {name: [statistics.median(column) for column in zip(*rounds)] for name, rounds in results.items()}
    rate, cpu = next(iter(medians.values()))
    print(f"{'gate':<22} {'requests/s':>10} {'ratio':>6} {'CPU us/request':>15} {'ratio':>6}")
    for name, (its_rate, its_cpu) in medians.items():
        print(f"{name:<22} {its_rate:>10.0f} {its_rate / rate:>6.3f} {its_cpu:>15.2f} {its_cpu / cpu:>6.3f}")


if __name__ == "__main__":
    main()
