"""Quotas of shards through boto3. Arguments: the endpoint."""

import os
import sys
import time
import urllib.request

import boto3
from botocore.config import Config

PATIENCE = 60
client = boto3.client("kinesis", endpoint_url=sys.argv[1], config=Config(retries={"max_attempts": 1}))
throttled = client.exceptions.ProvisionedThroughputExceededException


def exhaust(stream):
    """Spends a hundred seconds of the records of the shard of key `a`."""
    url = f"{sys.argv[1]}/v1/streams/{stream}/records"
    headers = {"Content-Type": "application/x-ndjson", "X-Partition-Key": "a"}
    with urllib.request.urlopen(urllib.request.Request(url, b"{}\n" * 100_000, headers)) as reply:
        assert reply.status == 200


def refused(call, **arguments):
    try:
        call(**arguments)
    except throttled as error:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 400
        return error.response["Error"]["Message"]
    raise AssertionError("it was to be throttled")


# Of a request, exactly the records beyond are refused.
exhaust("limited")
first, second = [shard["ShardId"] for shard in client.list_shards(StreamName="limited")["Shards"]]
text = refused(client.put_record, StreamName="limited", Data=b"{}", PartitionKey="a")
assert text == f"Rate exceeded for shard {first} in stream limited under account 000000000000.", text
keys = ["a", "b", "a", "b", "b"]
reply = client.put_records(
    StreamName="limited", Records=[{"Data": b'{"n":%d}' % n, "PartitionKey": key} for n, key in enumerate(keys)]
)
assert reply["FailedRecordCount"] == 2, reply
for key, entry in zip(keys, reply["Records"]):
    if key == "a":
        assert entry == {"ErrorCode": "ProvisionedThroughputExceededException", "ErrorMessage": text}, entry
    else:
        assert entry["ShardId"] == second and "ErrorCode" not in entry, entry
reply = client.put_records(StreamName="limited", Records=[{"Data": b"{}", "PartitionKey": "a"}] * 3)
assert reply["FailedRecordCount"] == 3 and not any("SequenceNumber" in entry for entry in reply["Records"])
iterator = client.get_shard_iterator(StreamName="limited", ShardId=second, ShardIteratorType="TRIM_HORIZON")
records = client.get_records(ShardIterator=iterator["ShardIterator"])["Records"]
assert [record["Data"] for record in records] == [b'{"n":1}', b'{"n":3}', b'{"n":4}'], records

# The shards of a split begin anew.
low, high = (int(k) for k in client.list_shards(StreamName="limited")["Shards"][0]["HashKeyRange"].values())
client.split_shard(StreamName="limited", ShardToSplit=first, NewStartingHashKey=str((low + high) // 2))
assert client.put_record(StreamName="limited", Data=b"{}", PartitionKey="a")["ShardId"] not in [first, second]

# Streams of clients have quotas where [aws] quotas names them. Ten mebibytes are ten seconds of a shard.
blob = os.urandom((10 << 20) - 1)
client.create_stream(StreamName="rehearse-1", ShardCount=1)
client.create_stream(StreamName="other", ShardCount=1)
shard = first
for _ in range(2):
    client.put_record(StreamName="other", Data=blob, PartitionKey="k")
started, puts = time.monotonic(), 0
while True:
    assert time.monotonic() - started < PATIENCE, "nothing was throttled"
    try:
        client.put_record(StreamName="rehearse-1", Data=blob, PartitionKey="k")
        puts += 1
    except throttled:
        break
assert puts >= 1

# Reading: five calls and two mebibytes a second, ten mebibytes at once and then nothing until they are paid for.
start = client.get_shard_iterator(StreamName="rehearse-1", ShardId=shard, ShardIteratorType="TRIM_HORIZON")
started, seen, iterator, calls = time.monotonic(), 0, start["ShardIterator"], 0
was_throttled = False
while seen < puts or not was_throttled:
    assert time.monotonic() - started < PATIENCE, (seen, puts, was_throttled)
    try:
        page = client.get_records(ShardIterator=iterator)
        assert all(record["Data"] == blob for record in page["Records"])
        seen, iterator = seen + len(page["Records"]), page["NextShardIterator"]
    except throttled as error:
        was_throttled = True
        assert "Rate exceeded for shard" in error.response["Error"]["Message"], error

# A subscription is paced, and not failed.
arn = client.describe_stream_summary(StreamName="rehearse-1")["StreamDescriptionSummary"]["StreamARN"]
consumer = client.register_stream_consumer(StreamARN=arn, ConsumerName="paced")["Consumer"]["ConsumerARN"]
subscription = client.subscribe_to_shard(
    ConsumerARN=consumer, ShardId=shard, StartingPosition={"Type": "TRIM_HORIZON"}
)["EventStream"]
got = 0
for event in subscription:
    records = event["SubscribeToShardEvent"]["Records"]
    assert all(record["Data"] == blob for record in records)
    got += len(records)
    if got == puts:
        break
subscription.close()
