"""Every operation of Firehose through boto3. Arguments: the endpoint."""

import json
import sys

import boto3
from botocore.config import Config

import called

client = boto3.client(
    "firehose", endpoint_url=sys.argv[1], config=Config(retries={"max_attempts": 1}, parameter_validation=False)
)
called.note(client)
ROLE = "arn:aws:iam::000000000000:role/firehose"


def refused(kind, call, **arguments):
    try:
        call(**arguments)
    except client.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == kind, error
        assert error.response["ResponseMetadata"]["RequestId"], error
        return error.response["Error"]["Message"]
    raise AssertionError(f"{kind} expected")


def destination(**more):
    return {"RoleARN": ROLE, "BucketARN": "arn:aws:s3:::bucket", "Prefix": "py/data/", **more}


# Making.
made = client.create_delivery_stream(
    DeliveryStreamName="py",
    DeliveryStreamType="DirectPut",
    ExtendedS3DestinationConfiguration=destination(BufferingHints={"SizeInMBs": 1, "IntervalInSeconds": 900}),
    Tags=[{"Key": "a", "Value": "1"}, {"Key": "b"}],
)
assert made["DeliveryStreamARN"].endswith(":deliverystream/py"), made
message = refused(
    "InvalidArgumentException",
    client.create_delivery_stream,
    DeliveryStreamName="x",
    ExtendedS3DestinationConfiguration=destination(CompressionFormat="ZIP"),
)
assert message.startswith("CompressionFormat ZIP is not supported by this server; supported are"), message
message = refused(
    "InvalidArgumentException",
    client.create_delivery_stream,
    DeliveryStreamName="x",
    HttpEndpointDestinationConfiguration={"EndpointConfiguration": {"Url": "https://example.com"}},
)
assert message.startswith("HttpEndpointDestinationConfiguration is not supported"), message
message = refused("ValidationException", client.create_delivery_stream, DeliveryStreamName="")
assert message.startswith("1 validation error detected: Value '' at 'deliveryStreamName'"), message
client.create_delivery_stream(
    DeliveryStreamName="columns",
    ExtendedS3DestinationConfiguration=destination(
        Prefix="py/columns/",
        BufferingHints={"SizeInMBs": 64, "IntervalInSeconds": 900},
        DataFormatConversionConfiguration={
            "Enabled": True,
            "SchemaConfiguration": {"RoleARN": ROLE, "DatabaseName": "lake", "TableName": "clicks"},
            "InputFormatConfiguration": {"Deserializer": {"OpenXJsonSerDe": {}}},
            "OutputFormatConfiguration": {"Serializer": {"ParquetSerDe": {"Compression": "SNAPPY"}}},
        },
    ),
)

# Showing.
description = client.describe_delivery_stream(DeliveryStreamName="py")["DeliveryStreamDescription"]
assert description["DeliveryStreamStatus"] == "ACTIVE", description
assert description["VersionId"] == "1" and description["CreateTimestamp"].year > 2000, description
shown = description["Destinations"][0]["ExtendedS3DestinationDescription"]
assert shown["BufferingHints"] == {"SizeInMBs": 1, "IntervalInSeconds": 900}, shown
assert shown["CompressionFormat"] == "UNCOMPRESSED" and shown["S3BackupMode"] == "Disabled", shown
assert client.list_delivery_streams()["DeliveryStreamNames"] == ["columns", "orders", "py"]
page = client.list_delivery_streams(Limit=1, ExclusiveStartDeliveryStreamName="columns")
assert page["DeliveryStreamNames"] == ["orders"] and page["HasMoreDeliveryStreams"], page

# Putting.
reply = client.put_record(DeliveryStreamName="py", Record={"Data": json.dumps({"id": 0}).encode()})
assert reply["RecordId"] and not reply["Encrypted"], reply
records = [{"Data": json.dumps({"id": number}).encode()} for number in range(500)]
reply = client.put_record_batch(DeliveryStreamName="py", Records=records)
assert reply["FailedPutCount"] == 0 and len(reply["RequestResponses"]) == 500, reply
assert client.put_record_batch(DeliveryStreamName="columns", Records=records)["FailedPutCount"] == 0
message = refused("ValidationException", client.put_record_batch, DeliveryStreamName="py", Records=records * 2)
assert message.endswith("Member must have length less than or equal to 500"), message
large = {"Data": b" " * 1_024_001}
message = refused("ValidationException", client.put_record_batch, DeliveryStreamName="py", Records=[large])
assert message.endswith(
    "lim=1024001 cap=1024001]' at 'records.1.member.data' failed to satisfy constraint: "
    "Member must have length less than or equal to 1024000"
), message
large = {"Data": b" " * 1_000_000}
message = refused("InvalidArgumentException", client.put_record_batch, DeliveryStreamName="py", Records=[large] * 5)
assert message == "Records size exceeds 4 MB limit", message
message = refused("ResourceNotFoundException", client.put_record, DeliveryStreamName="none", Record={"Data": b"{}"})
assert message == "Firehose none under account 000000000000 not found.", message

# Changing.
client.tag_delivery_stream(DeliveryStreamName="py", Tags=[{"Key": "c", "Value": "3"}])
client.untag_delivery_stream(DeliveryStreamName="py", TagKeys=["a"])
tags = client.list_tags_for_delivery_stream(DeliveryStreamName="py", Limit=1)
assert tags["Tags"] == [{"Key": "b"}] and tags["HasMoreTags"], tags
tags = client.list_tags_for_delivery_stream(DeliveryStreamName="py", ExclusiveStartTagKey="b")
assert tags["Tags"] == [{"Key": "c", "Value": "3"}] and not tags["HasMoreTags"], tags
client.start_delivery_stream_encryption(DeliveryStreamName="py")
description = client.describe_delivery_stream(DeliveryStreamName="py")["DeliveryStreamDescription"]
assert description["DeliveryStreamEncryptionConfiguration"] == {"KeyType": "AWS_OWNED_CMK", "Status": "ENABLED"}
client.stop_delivery_stream_encryption(DeliveryStreamName="py")
client.update_destination(
    DeliveryStreamName="py",
    CurrentDeliveryStreamVersionId="1",
    DestinationId="destinationId-000000000001",
    ExtendedS3DestinationUpdate={"CompressionFormat": "GZIP"},
)
refused(
    "ConcurrentModificationException",
    client.update_destination,
    DeliveryStreamName="py",
    CurrentDeliveryStreamVersionId="1",
    DestinationId="destinationId-000000000001",
    ExtendedS3DestinationUpdate={"CompressionFormat": "GZIP"},
)
refused("ResourceInUseException", client.delete_delivery_stream, DeliveryStreamName="orders")

# Deleting: what it has is delivered first.
client.delete_delivery_stream(DeliveryStreamName="columns")
description = client.describe_delivery_stream(DeliveryStreamName="columns")["DeliveryStreamDescription"]
assert description["DeliveryStreamStatus"] == "DELETING", description
refused("ResourceNotFoundException", client.put_record, DeliveryStreamName="columns", Record={"Data": b"{}"})
called.report()
