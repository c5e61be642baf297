#!/usr/bin/env python3
"""What a connection costs that has sent one request and is silent: resident memory of the server, and the kernel's.

    cargo build --release --workspace
    loadtest/idle_connections.py [--connections 10000] [--kinds http1,http2,tls,websocket,events]

`http1`, `http2` and `tls` (HTTP/1.1 over TLS 1.3) have posted one event; `websocket` and `events` (server-sent) read
live, and nothing comes. Each kind has a server of its own. Resident memory is looked at some seconds after the last
answer, and divided by the connections beyond a first hundred, which warm up what is there once. The kernel's memory is
what grows of its slabs and of the buffers of TCP: a connection has both of its ends on this machine, so half of that is
the server's. Megabytes are 10^6 bytes.
"""

import argparse
import pathlib
import resource
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time

RELEASE = pathlib.Path(__file__).resolve().parent.parent / "target" / "release"
EVENT = b'{"client_ip":"203.0.113.7","path":"/","status":200}'
POST = (
    b"POST /v1/streams/web/records HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)
UPGRADE = (
    b"GET /v1/streams/web/records?from=latest HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
EVENTS = b"GET /v1/streams/web/records?from=latest HTTP/1.1\r\nHost: bench\r\nAccept: text/event-stream\r\n\r\n"
FIRST, SETTLE_SECONDS, START_SECONDS = 100, 6, 60


def until(connection, end):
    """Reads until there is `end`."""
    seen = b""
    while end not in seen:
        got = connection.recv(16_384)
        if not got:
            sys.exit(f"the connection was closed after {seen!r}")
        seen += got
    return seen


def http1(connection):
    connection.sendall(POST % (len(EVENT), EVENT))
    answer = until(connection, b"}")
    assert answer.startswith(b"HTTP/1.1 200 "), answer


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A header field without indexing and without Huffman coding (RFC 7541, 6.2.2); both shorter than 127 bytes."""
    return b"\x00" + bytes([len(name)]) + name + bytes([len(value)]) + value


def http2(connection):
    fields = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", b"/v1/streams/web/records")]
    fields += [(b":authority", b"bench"), (b"content-type", b"application/json")]
    head = b"".join(literal(*field) for field in fields)
    settings, headers, data, end_headers, end_stream = 4, 1, 0, 4, 1
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settings, 0, 0, b"")
    connection.sendall(preface + frame(headers, end_headers, 1, head) + frame(data, end_stream, 1, EVENT))
    answer = until(connection, b'"accepted":1')
    assert b"PROTOCOL_ERROR" not in answer
    connection.sendall(frame(settings, 1, 0, b""))


def websocket(connection):
    connection.sendall(UPGRADE)
    answer = until(connection, b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 101 "), answer


def events(connection):
    connection.sendall(EVENTS)
    answer = until(connection, b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 "), answer


KINDS = {"http1": http1, "http2": http2, "tls": http1, "websocket": websocket, "events": events}


class Node:
    """A server of one stream in memory, with a thread a core."""

    def __init__(self, options, kind, root):
        folder = pathlib.Path(root)
        (folder / "pipelines").mkdir()
        (folder / "pipelines" / "web.toml").write_text(
            '[stream]\nname = "web"\nshards = 4\ndurability = "memory"\n[ingest]\npartition_key = "/client_ip"\n'
        )
        self.context = None
        tls = ""
        if kind == "tls":
            make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
            make += ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
            make += ["-days", "2", "-subj", "/CN=bench"]
            subprocess.run(make, check=True, capture_output=True)
            tls = 'tls = { certificate = "certificate.pem", key = "key.pem" }\n'
            self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        (folder / "forebay.toml").write_text(
            f'[server]\nlisten = "127.0.0.1:{options.port}"\nadmin = "127.0.0.1:{options.port + 1}"\n'
            f'max_connections = {options.connections + 1_000}\nidle_timeout = "10m"\n{tls}'
        )
        log = folder / "log"
        with log.open("w") as out:
            self.process = subprocess.Popen([options.binaries / "forebay", "serve"], cwd=folder, stdout=out, stderr=out)
        self.address = ("127.0.0.1", options.port)
        began = time.monotonic()
        while '"serving"' not in log.read_text():
            if self.process.poll() is not None or time.monotonic() - began > START_SECONDS:
                sys.exit(f"the server does not start:\n{log.read_text()}")
            time.sleep(0.05)

    def connect(self, kind):
        connection = socket.create_connection(self.address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.context:
            connection = self.context.wrap_socket(connection)
        KINDS[kind](connection)
        return connection

    def resident(self):
        lines = pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))

    def descriptors(self):
        return len(list(pathlib.Path(f"/proc/{self.process.pid}/fd").iterdir()))


def kernel_bytes():
    """Slabs, and pages of TCP's buffers."""
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    slab = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Slab:"))
    tcp = next(line for line in pathlib.Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:"))
    return slab + int(tcp.split()[-1]) * resource.getpagesize()


def measure(options, kind):
    """Bytes of the process and of the kernel for each connection, and all of the process."""
    with tempfile.TemporaryDirectory() as root:
        node = Node(options, kind, root)
        try:
            return compare(options, kind, node)
        finally:
            node.process.kill()
            node.process.wait()


def compare(options, kind, node):
    held = [node.connect(kind) for _ in range(FIRST)]
    time.sleep(SETTLE_SECONDS)
    resident, kernel = node.resident(), kernel_bytes()
    more = options.connections - FIRST
    held += [node.connect(kind) for _ in range(more)]
    time.sleep(SETTLE_SECONDS)
    ours, theirs = (node.resident() - resident) / more, (kernel_bytes() - kernel) / more / 2
    if node.descriptors() < options.connections:
        sys.exit(f"the server has closed connections: {node.descriptors()} descriptors are left")
    total = node.resident()
    for connection in held:
        # Without a state of waiting that would keep ports from the next kind.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    return ours, theirs, total


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binaries", type=pathlib.Path, default=RELEASE, help="folder of forebay")
    parser.add_argument("--connections", type=int, default=10_000)
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--port", type=int, default=18_760)
    options = parser.parse_args()
    # The server raises its own.
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard < options.connections + 1_000:
        sys.exit(f"only {hard} files may be open (ulimit -Hn): {options.connections} connections need 1,000 more")
    print(f"{'kind':<10} {'MB each':>8} {'kernel MB each':>15} {'resident MB':>12}")
    for kind in options.kinds.split(","):
        ours, theirs, total = measure(options, kind)
        print(f"{kind:<10} {ours / 1e6:>8.4f} {theirs / 1e6:>15.4f} {total / 1e6:>12.0f}", flush=True)


if __name__ == "__main__":
    main()
