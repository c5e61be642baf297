"""What connections cost a node: memory of those that stay open, CPU time of those that begin."""

import http.client
import pathlib
import socket
import ssl
import subprocess
import tempfile

from measuring import node

CONNECTIONS = 4_000
HANDSHAKES = 1_500
EVENT = b'{"client_ip":"192.0.2.1","timestamp":"2026-01-01T00:00:00Z"}'
REQUEST = (
    b"POST /v1/streams/web/records HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    b"content-length: %d\r\n\r\n%b" % (len(EVENT), EVENT)
)


def certificate(folder: pathlib.Path) -> None:
    """An ECDSA one of P-256, which is what most servers have today."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost"
    names = ["-keyout", folder / "key.pem", "-out", folder / "server.pem", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command.split(), *names], check=True, capture_output=True)


def client_context(folder: pathlib.Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "server.pem"))


def connect(port: int, context: ssl.SSLContext | None, session: ssl.SSLSession | None = None) -> socket.socket:
    plain = socket.create_connection(("127.0.0.1", port))
    if context is None:
        return plain
    return context.wrap_socket(plain, server_hostname="localhost", session=session)


def ask(connection: socket.socket) -> None:
    connection.sendall(REQUEST)
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"status {answer.status}: {body!r}")


def memory(server, port: int, context: ssl.SSLContext | None, asks: bool) -> float:
    """Bytes of one connection, by what the process grows while CONNECTIONS of them are opened."""
    before = node.resident_of(server.pid)
    held = []
    for _ in range(CONNECTIONS):
        held.append(connect(port, context))
        if asks:
            ask(held[-1])
    grown = node.resident_of(server.pid) - before
    for connection in held:
        connection.close()
    return grown / CONNECTIONS


def beginning(server, port: int, context: ssl.SSLContext | None, resumes: bool = False) -> float:
    """CPU-microseconds of a connection with one request, from the first byte to the close."""
    session = None
    cpu = node.cpu_of(server.pid)
    for _ in range(HANDSHAKES):
        connection = connect(port, context, session)
        ask(connection)
        if resumes:
            session = connection.session
        connection.close()
    return (node.cpu_of(server.pid) - cpu) / HANDSHAKES * 1e6


def run(port: int) -> None:
    cases = {
        "connection_silent_bytes": ("", False, memory),
        "connection_used_bytes": ("", True, memory),
        "connection_tls_silent_bytes": ("tls", False, memory),
        "connection_tls_used_bytes": ("tls", True, memory),
        "connect_us": ("", False, beginning),
        "connect_tls_us": ("tls", False, beginning),
        "connect_tls_resumed_us": ("tls", True, beginning),
    }
    for name, (tls, flag, figure) in cases.items():
        with tempfile.TemporaryDirectory() as root:
            folder = pathlib.Path(root)
            certificate(folder)
            pipeline = f'[stream]\nname = "{node.STREAM}"\nshards = 4\ndurability = "memory"\n'
            setting = 'tls = { certificate = "server.pem", key = "key.pem" }\n' if tls else ""
            node.write_config(folder, port, f"[server]\n{setting}", {"web.toml": pipeline})
            with node.running(folder) as server:
                print(f"{name} = {figure(server, port, client_context(folder) if tls else None, flag):.0f}", flush=True)
                node.stop(server, folder)
