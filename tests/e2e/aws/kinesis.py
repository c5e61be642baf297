"""Every data operation of Kinesis Data Streams through boto3. Arguments: the endpoint, and perhaps an
iterator that has expired."""

import datetime
import hashlib
import json
import sys
import time

import boto3
from botocore.config import Config

import called

client = boto3.client(
    "kinesis", endpoint_url=sys.argv[1], config=Config(retries={"max_attempts": 1}, parameter_validation=False)
)
called.note(client)


def refused(kind, call, **arguments):
    try:
        call(**arguments)
    except client.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == kind, error
        assert error.response["ResponseMetadata"]["RequestId"], error
        return error.response["Error"]["Message"]
    raise AssertionError(f"{kind} expected")


def read(stream, shard, **position):
    iterator = client.get_shard_iterator(StreamName=stream, ShardId=shard, **position)["ShardIterator"]
    records = []
    while True:
        page = client.get_records(ShardIterator=iterator)
        records += page["Records"]
        iterator = page["NextShardIterator"]
        if page["MillisBehindLatest"] == 0 and not page["Records"]:
            return records


# Streams.
assert client.list_streams()["StreamNames"] == ["clicks", "other", "strict"]
page = client.list_streams(Limit=2)
assert page["StreamNames"] == ["clicks", "other"] and page["HasMoreStreams"]
assert client.list_streams(NextToken=page["NextToken"])["StreamNames"] == ["strict"]
assert client.list_streams(ExclusiveStartStreamName="clicks")["StreamNames"] == ["other", "strict"]
pages = client.get_paginator("list_streams").paginate(PaginationConfig={"PageSize": 1})
assert [name for page in pages for name in page["StreamNames"]] == ["clicks", "other", "strict"]

# Shards.
description = client.describe_stream(StreamName="clicks")["StreamDescription"]
arn = description["StreamARN"]
assert arn.endswith(":stream/clicks") and description["StreamStatus"] == "ACTIVE", description
assert description["RetentionPeriodHours"] >= 1
assert abs(description["StreamCreationTimestamp"].timestamp() - time.time()) < 3600
shards = client.list_shards(StreamName="clicks")["Shards"]
assert shards == description["Shards"] and len(shards) == 4
assert shards[0]["HashKeyRange"]["StartingHashKey"] == "0"
assert shards[-1]["HashKeyRange"]["EndingHashKey"] == str(2**128 - 1)
first = client.list_shards(StreamARN=arn, MaxResults=3)
rest = client.list_shards(NextToken=first["NextToken"])
assert first["Shards"] + rest["Shards"] == shards and "NextToken" not in rest
for kind in ["AT_LATEST", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON"]:
    assert client.list_shards(StreamName="clicks", ShardFilter={"Type": kind})["Shards"] == shards
now = datetime.datetime.now(datetime.timezone.utc)
for kind in ["AT_TIMESTAMP", "FROM_TIMESTAMP"]:
    assert client.list_shards(StreamName="clicks", ShardFilter={"Type": kind, "Timestamp": now})["Shards"] == shards
after = {"Type": "AFTER_SHARD_ID", "ShardId": shards[1]["ShardId"]}
assert client.list_shards(StreamName="clicks", ShardFilter=after)["Shards"] == shards[2:]
pages = client.get_paginator("describe_stream").paginate(StreamName="clicks", PaginationConfig={"PageSize": 1})
assert [shard for page in pages for shard in page["StreamDescription"]["Shards"]] == shards
summary = client.describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]
assert (summary["OpenShardCount"], summary["EncryptionType"]) == (4, "NONE"), summary
assert client.describe_limits()["OpenShardCount"] == 6
assert client.list_tags_for_stream(StreamName="clicks")["Tags"] == []

# Records: numbers rise, keys go where MD5 says, what was put comes back.
sent = {}
for start in range(0, 1500, 500):
    batch = [
        {"Data": json.dumps({"n": n, "text": "é\n" * 3}).encode(), "PartitionKey": f"k{n % 37}"}
        for n in range(start, start + 500)
    ]
    reply = client.put_records(Records=batch, StreamName="clicks")
    assert reply["FailedRecordCount"] == 0 and len(reply["Records"]) == 500
    for record, entry in zip(batch, reply["Records"]):
        sent.setdefault(entry["ShardId"], []).append((int(entry["SequenceNumber"]), record))
got = 0
for shard in shards:
    records = read("clicks", shard["ShardId"], ShardIteratorType="TRIM_HORIZON")
    expected = sent.get(shard["ShardId"], [])
    numbers = [int(record["SequenceNumber"]) for record in records]
    assert numbers == [number for number, _ in expected] == sorted(set(numbers))
    assert numbers[0] >= int(shard["SequenceNumberRange"]["StartingSequenceNumber"])
    low, high = (int(shard["HashKeyRange"][edge]) for edge in ["StartingHashKey", "EndingHashKey"])
    for record, (_, put) in zip(records, expected):
        assert record["Data"] == put["Data"] and record["PartitionKey"] == put["PartitionKey"]
        assert low <= int(hashlib.md5(record["PartitionKey"].encode()).hexdigest(), 16) <= high
        assert abs(record["ApproximateArrivalTimestamp"].timestamp() - time.time()) < 600
    got += len(records)
    # The other positions.
    middle = expected[len(expected) // 2][0]
    at = read("clicks", shard["ShardId"], ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber=str(middle))
    behind = read(
        "clicks", shard["ShardId"], ShardIteratorType="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=str(middle)
    )
    assert int(at[0]["SequenceNumber"]) == middle and behind == at[1:] and len(at) == len(records) - len(records) // 2
    assert read("clicks", shard["ShardId"], ShardIteratorType="LATEST") == []
    past = datetime.datetime(2020, 1, 1)
    assert read("clicks", shard["ShardId"], ShardIteratorType="AT_TIMESTAMP", Timestamp=past) == records
assert got == 1500
shard = shards[2]
explicit = client.put_record(
    StreamARN=arn, Data=b'{"hash":true}', PartitionKey="x", ExplicitHashKey=shard["HashKeyRange"]["StartingHashKey"]
)
assert explicit["ShardId"] == shard["ShardId"]
last = client.put_record(
    StreamName="clicks",
    Data=b'{"hash":false}',
    PartitionKey="x",
    ExplicitHashKey=shard["HashKeyRange"]["EndingHashKey"],
    SequenceNumberForOrdering=explicit["SequenceNumber"],
)
assert last["ShardId"] == shard["ShardId"] and int(last["SequenceNumber"]) > int(explicit["SequenceNumber"])
iterator = client.get_shard_iterator(
    StreamName="clicks", ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON"
)["ShardIterator"]
limited = client.get_records(ShardIterator=iterator, Limit=10)
assert len(limited["Records"]) == 10 and limited["NextShardIterator"] != iterator

# What breaks the schema is told record by record.
good, bad = {"Data": b'{"n":1}', "PartitionKey": "a"}, {"Data": b'{"n":"x"}', "PartitionKey": "a"}
reply = client.put_records(StreamName="strict", Records=[bad, good, {"Data": b"\xff", "PartitionKey": "b"}, good])
assert reply["FailedRecordCount"] == 2, reply
assert [record.get("ErrorCode") for record in reply["Records"]] == [
    "InvalidArgumentException", None, "InvalidArgumentException", None,
]  # fmt: skip
assert len(read("strict", "shardId-000000000000", ShardIteratorType="TRIM_HORIZON")) == 2
message = refused("InvalidArgumentException", client.put_record, StreamName="strict", **bad)
assert message.startswith("schema: "), message

# Refusals.
message = refused("ResourceNotFoundException", client.describe_stream, StreamName="none")
assert message == "Stream none under account 000000000000 not found.", message
refused("ResourceNotFoundException", client.put_record, StreamName="none", Data=b"{}", PartitionKey="a")
refused(
    "ResourceNotFoundException",
    client.get_shard_iterator,
    StreamName="clicks",
    ShardId="shardId-000000000009",
    ShardIteratorType="LATEST",
)
message = refused("ValidationException", client.put_records, StreamName="clicks", Records=[good] * 501)
assert "less than or equal to 500" in message
refused("ValidationException", client.list_shards, StreamName="a b", MaxResults=0)
message = refused("InvalidArgumentException", client.list_shards, StreamName="clicks", NextToken=first["NextToken"])
assert message == "NextToken and StreamName cannot be provided together."
refused("InvalidArgumentException", client.get_records, ShardIterator=iterator[:-4] + "AAAA")
refused("InvalidArgumentException", client.get_records, ShardIterator="AAAA")
for expired in sys.argv[2:]:
    message = refused("ExpiredIteratorException", client.get_records, ShardIterator=expired)
    assert message.startswith("Iterator expired. "), message
refused("InvalidArgumentException", client.get_records, ShardIterator=iterator, StreamARN=arn.replace("clicks", "other"))
refused("InvalidArgumentException", client.list_shards, NextToken=iterator)
foreign = explicit["SequenceNumber"]
refused(
    "InvalidArgumentException",
    client.get_shard_iterator,
    StreamName="clicks",
    ShardId=shards[0]["ShardId"],
    ShardIteratorType="AT_SEQUENCE_NUMBER",
    StartingSequenceNumber=foreign,
)
refused(
    "InvalidArgumentException",
    client.get_shard_iterator,
    StreamName="clicks",
    ShardId=shards[0]["ShardId"],
    ShardIteratorType="AT_TIMESTAMP",
)
refused("DryRunOperationException", client.put_record, StreamName="clicks", DryRun=True, **good)

# A record of 1 MiB, and one that the stream does not take.
large = b'{"a":"' + b"x" * ((1 << 20) - 8) + b'"}'
client.put_record(StreamName="other", Data=large, PartitionKey="a")
assert read("other", "shardId-000000000000", ShardIteratorType="TRIM_HORIZON")[-1]["Data"] == large
refused("InvalidArgumentException", client.put_record, StreamName="other", Data=large + b" " * 4 + large, PartitionKey="a")
called.report()
