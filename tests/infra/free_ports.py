"""Prints COUNT free TCP ports of the loopback address, one a line, each with its twin 10,000 above free as well.

SeaweedFS opens the twin for gRPC. Both lie below 32,768, where Linux begins to hand out ports to clients.
"""

import random
import socket
import sys

TWIN_OFFSET = 10_000
LOWEST, HIGHEST = 11_000, 22_000


def listener(port: int) -> socket.socket:
    taken = socket.socket()
    try:
        taken.bind(("127.0.0.1", port))
    except OSError:
        taken.close()
        raise
    return taken


def main() -> None:
    count = int(sys.argv[1])
    held, ports = [], []
    for port in random.sample(range(LOWEST, HIGHEST), HIGHEST - LOWEST):
        if len(ports) == count:
            break
        try:
            held.append(listener(port))
            held.append(listener(port + TWIN_OFFSET))
        except OSError:
            continue
        ports.append(port)
    if len(ports) < count:
        sys.exit(f"fewer than {count} free ports between {LOWEST} and {HIGHEST}")
    print(*ports, sep="\n")


main()
