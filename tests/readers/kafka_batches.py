"""Prints the batches of a partition as the broker holds them, each as a line of JSON, in the order of their offsets.

kafka_batches.py HOST:PORT TOPIC PARTITION

Speaks the protocol itself (Fetch, version 4, to the one broker that there is), as clients unpack batches before anybody sees
them. The layout of a batch is that of record batches, magic 2: https://kafka.apache.org/documentation/#recordbatch
"""

import json
import socket
import struct
import sys

FETCH = 1
VERSION = 4
BYTES_MAX = 64 << 20
TIMEOUT_SECONDS = 60
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
# Offset and length are before what the length counts; all fields up to the records are 61 bytes.
BEFORE_LENGTH = 12
HEADER = struct.Struct(">qiibIhiqqqhii")


def text(value):
    coded = value.encode()
    return struct.pack(">h", len(coded)) + coded


def read_exactly(connection, count):
    parts = bytearray()
    while len(parts) < count:
        part = connection.recv(count - len(parts))
        if not part:
            sys.exit("the broker has closed the connection")
        parts += part
    return bytes(parts)


def fetch(connection, topic, partition, offset):
    """What the broker holds from `offset` on: the bytes of batches, and the offset behind the last one of all."""
    head = struct.pack(">hhi", FETCH, VERSION, 1) + text("kafka_batches")
    # No replica, no wait, one byte is enough, read uncommitted.
    body = struct.pack(">iiiib", -1, 0, 1, BYTES_MAX, 0)
    body += struct.pack(">i", 1) + text(topic) + struct.pack(">iiqi", 1, partition, offset, BYTES_MAX)
    connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
    (length,) = struct.unpack(">i", read_exactly(connection, 4))
    answer = memoryview(read_exactly(connection, length))
    # Correlation id, time of throttling, number of topics; then the name of the topic and the number of partitions.
    (name_length,) = struct.unpack_from(">h", answer, 12)
    at = 14 + name_length + 4
    _, error, high, _, aborted = struct.unpack_from(">ihqqi", answer, at)
    if error != 0:
        sys.exit(f"the broker answers with error {error}")
    at += 26 + 16 * max(aborted, 0)
    (size,) = struct.unpack_from(">i", answer, at)
    return answer[at + 4 : at + 4 + max(size, 0)], high


def batches(held):
    while len(held) >= HEADER.size:
        base, length, _, magic, _, attributes, last, *_, records = HEADER.unpack_from(held)
        if magic != 2 or len(held) < BEFORE_LENGTH + length:
            break
        yield {
            "last": base + last,
            "records": records,
            "bytes": BEFORE_LENGTH + length,
            "codec": CODECS[attributes & 7],
        }
        held = held[BEFORE_LENGTH + length :]


def main():
    server, topic, partition = sys.argv[1:]
    host, port = server.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=TIMEOUT_SECONDS) as connection:
        offset, high = 0, 1
        while offset < high:
            held, high = fetch(connection, topic, int(partition), offset)
            found = list(batches(held))
            if not found and offset < high:
                sys.exit(f"no batch at offset {offset} of {high}")
            for batch in found:
                print(json.dumps(batch, separators=(",", ":")))
                offset = batch["last"] + 1


main()
