"""Makes a delivery stream that closes its objects soon. Arguments: the endpoint, its name."""

import sys

import boto3

client = boto3.client("firehose", endpoint_url=sys.argv[1])
client.create_delivery_stream(
    DeliveryStreamName=sys.argv[2],
    ExtendedS3DestinationConfiguration={
        "RoleARN": "arn:aws:iam::000000000000:role/firehose",
        "BucketARN": "arn:aws:s3:::bucket",
        "BufferingHints": {"SizeInMBs": 1, "IntervalInSeconds": 0},
    },
)
print("ok")
