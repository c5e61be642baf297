"""Access keys and policies through boto3. Arguments: the endpoint."""

import sys

import boto3
from botocore.config import Config


def client(service, key, secret, token=None):
    return boto3.client(
        service,
        endpoint_url=sys.argv[1],
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        aws_session_token=token,
        config=Config(retries={"max_attempts": 1}),
    )


def refused(kind, call, **arguments):
    try:
        call(**arguments)
    except call.__self__.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == kind, error
        return error.response["Error"]["Message"]
    raise AssertionError(f"{kind} expected")


record = {"Data": b'{"n":1}', "PartitionKey": "k"}

everything = client("kinesis", "AKIDEXAMPLE", "secret")
assert everything.list_streams()["StreamNames"] == ["clicks", "other"]
assert everything.put_record(StreamName="other", **record)["ShardId"]

wrong = client("kinesis", "AKIDEXAMPLE", "secrets")
message = refused("InvalidSignatureException", wrong.list_streams)
assert "does not match" in message and "secret" not in message.replace("Secret Access Key", ""), message
refused("UnrecognizedClientException", client("kinesis", "NOBODY", "secret").list_streams)

producer = client("kinesis", "PRODUCER", "produce")
assert producer.put_record(StreamName="clicks", **record)["ShardId"]
assert producer.put_records(StreamName="clicks", Records=[record] * 500)["FailedRecordCount"] == 0
message = refused("AccessDeniedException", producer.put_record, StreamName="other", **record)
assert "kinesis:PutRecord on resource: arn:aws:kinesis:us-east-1:000000000000:stream/other" in message, message
refused("AccessDeniedException", producer.put_record, StreamName="nowhere", **record)
refused("AccessDeniedException", producer.list_streams)
refused("AccessDeniedException", producer.describe_stream, StreamName="clicks")
refused("AccessDeniedException", producer.create_stream, StreamName="clicks-2", ShardCount=1)
refused("AccessDeniedException", client("firehose", "PRODUCER", "produce").list_delivery_streams)

session = client("kinesis", "SESSION", "session", "token")
assert session.list_streams()["StreamNames"] == ["clicks", "other"]
refused("UnrecognizedClientException", client("kinesis", "SESSION", "session", "tokens").list_streams)
refused("UnrecognizedClientException", client("kinesis", "SESSION", "session").list_streams)
refused("UnrecognizedClientException", client("kinesis", "AKIDEXAMPLE", "secret", "token").list_streams)
print("ok")
