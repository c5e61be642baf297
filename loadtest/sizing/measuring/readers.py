"""What live readers cost: CPU time by the bytes that they are sent."""

import pathlib
import tempfile
import threading
import socket

from measuring import node

RATE = 2_000
SECONDS = 6
READERS = (0, 1, 50, 200)
BATCH = 20
REQUEST = b"GET /v1/streams/web/records HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n"


def read(port: int, counts: list[int], place: int, is_over: threading.Event) -> None:
    with socket.create_connection(("127.0.0.1", port)) as reader:
        reader.sendall(REQUEST)
        reader.settimeout(0.2)
        while not is_over.is_set():
            try:
                data = reader.recv(1 << 16)
            except TimeoutError:
                continue
            if not data:
                return
            counts[place] += len(data)


def measure(readers: int, port: int) -> tuple[float, int]:
    """CPU-seconds of the server while SECONDS of load come, and the bytes that readers were sent."""
    with tempfile.TemporaryDirectory() as root:
        folder = pathlib.Path(root)
        pipeline = f'[stream]\nname = "{node.STREAM}"\nshards = 4\ndurability = "memory"\n'
        node.write_config(folder, port, "[server]\n", {"web.toml": pipeline})
        counts, is_over = [0] * readers, threading.Event()
        threads = [threading.Thread(target=read, args=(port, counts, place, is_over)) for place in range(readers)]
        load = ("--profile", "clickstream", "--rate", str(RATE), "--batch", str(BATCH), "--duration", f"{SECONDS}s")
        with node.running(folder) as server:
            for thread in threads:
                thread.start()
            cpu = node.cpu_of(server.pid)
            node.load(port, *load)
            used = node.cpu_of(server.pid) - cpu
            is_over.set()
            for thread in threads:
                thread.join()
            node.stop(server, folder)
    return used, sum(counts)


def run(port: int) -> None:
    without, _ = measure(0, port)
    for readers in READERS[1:]:
        used, sent = measure(readers, port)
        print(f"# {readers} readers: {sent / 1e6 / SECONDS:.1f} MB/s sent, {used:.2f} CPU-seconds beside {without:.2f}")
        print(f"tap_s_per_gb = {(used - without) / (sent / 1e9):.2f}", flush=True)
