"""Sends values of the wrong type for each member of each operation, and bodies that are none. Arguments: the endpoint."""

import http.client
import json
import struct
import sys
import urllib.parse

import botocore.session

JSON, CBOR = "application/x-amz-json-1.1", "application/x-amz-cbor-1.1"
REFUSALS = {"SerializationException", "ValidationException", "InvalidArgumentException"}
DEPTH_MAX = 8
address = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
answered = 0


def post(target, media_type, body):
    """Status and type of the answer; the connection stays."""
    global answered
    answered += 1
    connection.request("POST", "/", body, {"X-Amz-Target": target, "Content-Type": media_type})
    response = connection.getresponse()
    response.read()
    return response.status, response.getheader("x-amzn-errortype")


class Blob(bytes):
    """Text in JSON, bytes in CBOR."""


def head(kind, size):
    for bits, form in [(24, "B"), (25, "H"), (26, "I"), (27, "Q")]:
        if size < 24 and bits == 24:
            return bytes([kind << 5 | size])
        if size < 1 << 8 * struct.calcsize(form):
            return bytes([kind << 5 | bits]) + struct.pack(">" + form, size)
    raise ValueError(size)


def cbor(value):
    if value is None or isinstance(value, bool):
        return {None: b"\xf6", False: b"\xf4", True: b"\xf5"}[value]
    if isinstance(value, int):
        return head(0, value) if value >= 0 else head(1, -1 - value)
    if isinstance(value, float):
        return b"\xfb" + struct.pack(">d", value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        return head(3, len(value.encode())) + value.encode()
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    return head(5, len(value)) + b"".join(cbor(name) + cbor(member) for name, member in value.items())


def encode(media_type, value):
    if media_type == CBOR:
        return cbor(value)
    return json.dumps(value, default=lambda blob: blob.decode()).encode()


def to_json(value):
    """Blobs as texts, in Base64."""
    if isinstance(value, Blob):
        return "eA=="
    if isinstance(value, list):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {name: to_json(member) for name, member in value.items()}
    return value


def right(shape, depth=0):
    """A value of the right type, of required members alone."""
    kind = shape.type_name
    if kind == "structure":
        members = shape.members.items() if depth < DEPTH_MAX else []
        return {name: right(member, depth + 1) for name, member in members if name in shape.required_members}
    if kind == "list":
        return [right(shape.member, depth + 1)]
    if kind == "map":
        return {"k": right(shape.value, depth + 1)}
    if kind == "string":
        return shape.enum[0] if getattr(shape, "enum", None) else "x"
    return {"blob": Blob(b"x"), "boolean": True, "timestamp": 1_500_000_000}.get(kind, 1)


WRONG = {
    "structure": [1, "x", True, [], [{}]],
    "list": [1, "x", True, {}, {"a": 1}],
    "map": [1, "x", True, [], [1]],
    "string": [1, -1.5, True, [], ["x"], {}, {"a": "x"}],
    "blob": [1, 1.5, True, [], ["x"], {}],
    "boolean": [1, "true", [], {}],
    "integer": ["1", True, [], {}, [1]],
    "long": ["1", True, [], {}],
    "timestamp": [True, "x", [], {}],
    "double": ["x", True, [], {}],
}


def wrongs(shape, depth=0):
    """Values in which one member, however deep, is of the wrong type; with the member's path."""
    kind = shape.type_name
    if depth > 0:
        for value in WRONG[kind]:
            yield "", value
    if depth == DEPTH_MAX:
        return
    if kind == "structure":
        for name, member in shape.members.items():
            for path, value in wrongs(member, depth + 1):
                yield f".{name}{path}", {**right(shape, depth), name: value}
    elif kind == "list":
        for path, value in wrongs(shape.member, depth + 1):
            yield f"[]{path}", [value]
    elif kind == "map":
        for path, value in wrongs(shape.value, depth + 1):
            yield f"{{}}{path}", {"k": value}


# Members that are not looked at.
PASSED_OVER = (
    ("StreamId", "WarmThroughputMiBps", "MaxRecordSizeInKiB", "RecordDistributionStrategy")
    + ("ListStreamConsumers.StreamCreationTimestamp", "ExclusiveStartDestinationId", "AWSKMSKeyARN")
    + ("KMSEncryptionConfig", "InputFormatConfiguration", "OutputFormatConfiguration")
)

loader = botocore.session.get_session()
operations, silent = [], set()
for service, prefix in [("kinesis", "Kinesis_20131202."), ("firehose", "Firehose_20150804.")]:
    model = loader.get_service_model(service)
    for name in model.operation_names:
        if post(prefix + name, JSON, b"[]") == (400, "UnknownOperationException"):
            continue
        operations.append(name)
        shape = model.operation_model(name).input_shape
        for media_type in [JSON, CBOR]:
            for path, value in wrongs(shape) if shape else []:
                value = value if media_type == CBOR else to_json(value)
                status, kind = post(prefix + name, media_type, encode(media_type, value))
                if status != 400 or kind not in REFUSALS or (service == "kinesis" and kind != "SerializationException"):
                    silent.add(f"{name}{path} {kind if status == 400 else status}")
        none = [b"[]", b"1", b'"x"', b"null", b"true", b"{", b"{}{}", b"{}]", b"\xff{}", b'{"a":\xff}', b"NaN", b'{"a":1,}']
        none += [b"[" * 100_000, b'{"a":' * 50_000, b'{"a":[' * 40_000 + b"1"]
        for body in none:
            assert post(prefix + name, JSON, body) == (400, "SerializationException"), (name, body[:20])
        bombs = [b"\x9f" * 100_000, b"\x81" * 100_000 + b"\x01", b"\xbf\x61a" * 50_000, b"\xa1\x61a" * 50_000 + b"\x01"]
        bombs += [b"\xa1\x61a" + b"\xc1" * 100_000 + b"\x01", b"\xa1\x61a\x7f" + b"\x61a" * 9, b"\xa1\x61a\x5f\x41"]
        for first in [0x40, 0x60, 0x80, 0xA0]:
            for length in [b"\x1a\x7f\xff\xff\xff", b"\x1b\x7f" + b"\xff" * 7, b"\x1b" + b"\xff" * 8]:
                declared = bytes([first | length[0]]) + length[1:]
                bombs += [declared, b"\xa1\x61a" + declared, b"\xa1\x67Records" + declared, b"\xa1\x64Data" + declared]
                bombs += [b"\xa1\x67Records\x81\xa1\x64Data" + declared]
        bombs += [b"\xff", b"\xa1\x61a\xff", b"\xa1\x61\xff\x01", b"\x01", b"\x80", b"\xf6", b"\xa0\xa0", b"\xa1\x01\x01"]
        bombs += [b"\x1c", b"\xa1\x61a\x1f", b"\xa1", b"\xa1\x61", b"\xbf\x61a", b"\xa1\x61a\xfc", b"\xa1\x61a\xf8"]
        for body in bombs:
            assert post(prefix + name, CBOR, body) == (400, "SerializationException"), (name, body[:20])

assert len(operations) >= 41, operations
silent = {line for line in silent if not line.split()[0].endswith(PASSED_OVER)}
assert not silent, "\n".join(sorted(silent))
print(f"{answered} requests of {len(operations)} operations")
