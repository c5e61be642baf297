"""Each member of an S3 destination in the API model, with each word that it may be: kept and described, or refused by
its name. Arguments: the endpoint."""

import http.client
import json
import sys
import urllib.parse

import botocore.session

TARGET = "Firehose_20150804."
ROLE, BUCKET = "arn:aws:iam::000000000000:role/firehose", "arn:aws:s3:::bucket"
# What a member needs beside it to stand for itself.
NEEDED = {"RoleARN": ROLE, "BucketARN": BUCKET}
# Values of members that are no words of the model.
SAMPLES = {
    "Prefix": "p/",
    "ErrorOutputPrefix": "e/",
    "FileExtension": ".x",
    "CustomTimeZone": "Europe/Berlin",
    "NoEncryptionConfig": "NoEncryption",
    "AWSKMSKeyARN": "arn:aws:kms:us-east-1:000000000000:key/k",
    "LogGroupName": "g",
    "LogStreamName": "s",
    "SizeInMBs": 64,
    "IntervalInSeconds": 60,
    "DurationInSeconds": 60,
}
model = botocore.session.get_session().get_service_model("firehose")
address = urllib.parse.urlsplit(sys.argv[1])
connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)


def call(operation, body):
    headers = {"X-Amz-Target": TARGET + operation, "Content-Type": "application/x-amz-json-1.1"}
    connection.request("POST", "/", json.dumps(body), headers)
    response = connection.getresponse()
    text = response.read()
    return response.status, json.loads(text) if text else {}


def samples(shape, name, depth=0):
    """Paths of the members within a shape, each with a value of the whole shape that has little else."""
    if shape.type_name == "structure" and depth < 8:
        for member, inner in shape.members.items():
            beside = {known: value for known, value in NEEDED.items() if known in shape.members}
            for path, value in samples(inner, member, depth + 1):
                yield (member,) + path, beside | {member: value}
        if not shape.members:
            yield (), {}
    elif shape.type_name == "list":
        for path, value in samples(shape.member, name, depth + 1):
            yield path, [value]
    elif shape.type_name == "map":
        yield (), {"k": "v"}
    elif getattr(shape, "enum", None):
        for word in shape.enum:
            yield (), word
    elif shape.type_name == "boolean":
        yield (), True
    elif shape.type_name in ("integer", "long"):
        yield (), SAMPLES.get(name, int(shape.metadata.get("min", 1)))
    elif shape.type_name in ("double", "float"):
        yield (), 0.5
    else:
        yield (), SAMPLES.get(name, NEEDED.get(name, "x"))


def is_kept(value, shown, path):
    """Whether what was given at a path is described there."""
    for member in path:
        value, shown = value[0] if isinstance(value, list) else value, shown[0] if isinstance(shown, list) else shown
        member_shown = "S3BackupDescription" if member.startswith("S3Backup") and member != "S3BackupMode" else member
        value, shown = value[member], (shown or {}).get(member_shown)
    return shown == value


kept, refused = set(), {}
for operation, member in [
    ("CreateDeliveryStream", "ExtendedS3DestinationConfiguration"),
    ("CreateDeliveryStream", "S3DestinationConfiguration"),
    ("UpdateDestination", "ExtendedS3DestinationUpdate"),
    ("UpdateDestination", "S3DestinationUpdate"),
]:
    shape = model.operation_model(operation).input_shape.members[member]
    described = "ExtendedS3DestinationDescription" if member.startswith("Extended") else "S3DestinationDescription"
    for path, value in samples(shape, member):
        where = ".".join((member,) + path)
        name = {"DeliveryStreamName": "walked"}
        if operation == "UpdateDestination":
            plain = {"RoleARN": ROLE, "BucketARN": BUCKET}
            status, reply = call("CreateDeliveryStream", name | {"ExtendedS3DestinationConfiguration": plain})
            assert status == 200, reply
            version = {"CurrentDeliveryStreamVersionId": "1", "DestinationId": "destinationId-000000000001"}
            status, reply = call(operation, name | version | {member: value})
        else:
            status, reply = call(operation, name | {member: value})
        if status == 200:
            shown = call("DescribeDeliveryStream", name)[1]["DeliveryStreamDescription"]["Destinations"][0][described]
            assert is_kept(value, shown, path), (where, value, shown)
            kept.add(where)
        else:
            message = reply["message"]
            assert (status, "unknown field" in message) == (400, False), (where, value, reply)
            names = [part.lower() for part in path]
            assert any(part in message.lower() for part in names), (where, value, message)
            refused[where, json.dumps(value)] = message
        status, reply = call("DeleteDeliveryStream", name | {"AllowForceDelete": True})
        assert status in (200, 400), reply

extended = "ExtendedS3DestinationConfiguration."
for path in ["Prefix", "BufferingHints.SizeInMBs", "CompressionFormat", "FileExtension", "CustomTimeZone"]:
    assert extended + path in kept, (path, refused)
words = {json.loads(value)["CompressionFormat"] for (path, value) in refused if path == extended + "CompressionFormat"}
assert words == {"ZIP"}, words
by_path = {path: message for (path, _), message in refused.items()}
for path in ["ExtendedS3DestinationUpdate", "S3DestinationConfiguration", "S3DestinationUpdate", extended[:-1]]:
    message = by_path[path + ".CompressionFormat"]
    assert message.endswith("supported are UNCOMPRESSED, GZIP, Snappy and HADOOP_SNAPPY"), message
    message = by_path[path + ".EncryptionConfiguration.KMSEncryptionConfig.AWSKMSKeyARN"]
    assert message.startswith("EncryptionConfiguration.KMSEncryptionConfig is not supported"), message
print(f"{len(kept)} members kept, {len(refused)} values refused")
