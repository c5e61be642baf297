"""Kinesis Data Streams through boto3 over a stream that is in a topic. Arguments: the endpoints of two edges that share
it."""

import json
import sys

import boto3
from botocore.config import Config

a, b = (
    boto3.client("kinesis", endpoint_url=url, config=Config(retries={"max_attempts": 1})) for url in sys.argv[1:3]
)
shards = a.list_shards(StreamName="s")["Shards"]
assert shards == b.list_shards(StreamName="s")["Shards"] and len(shards) == 2, shards

put = {}
for client, name in ((a, "a"), (b, "b"), (a, "c")):
    records = [{"Data": json.dumps({"n": f"{name}{n}"}).encode(), "PartitionKey": str(n)} for n in range(50)]
    reply = client.put_records(StreamName="s", Records=records)
    assert reply["FailedRecordCount"] == 0, reply
    for record, placed in zip(records, reply["Records"]):
        put[(placed["ShardId"], placed["SequenceNumber"])] = (record["Data"], record["PartitionKey"])
assert len(put) == 150
one = b.put_record(StreamName="s", Data=b'{"n":"one"}', PartitionKey="one")
put[(one["ShardId"], one["SequenceNumber"])] = (b'{"n":"one"}', "one")


def read(client, iterator, count):
    records = []
    while len(records) < count:
        page = client.get_records(ShardIterator=iterator)
        records += page["Records"]
        iterator = page["NextShardIterator"]
    return records


for client in (a, b):
    got = {}
    for shard in shards:
        name = shard["ShardId"]
        expected = [place for place in put if place[0] == name]
        start = {"ShardIteratorType": "TRIM_HORIZON"}
        iterator = client.get_shard_iterator(StreamName="s", ShardId=name, **start)["ShardIterator"]
        records = read(client, iterator, len(expected))
        numbers = [record["SequenceNumber"] for record in records]
        assert numbers == sorted(numbers)
        for record in records:
            got[(name, record["SequenceNumber"])] = (record["Data"], record["PartitionKey"])
        middle = records[len(records) // 2]
        for kind, first in (("AT_SEQUENCE_NUMBER", 0), ("AFTER_SEQUENCE_NUMBER", 1)):
            start = {"ShardIteratorType": kind, "StartingSequenceNumber": middle["SequenceNumber"]}
            iterator = client.get_shard_iterator(StreamName="s", ShardId=name, **start)["ShardIterator"]
            rest = records[len(records) // 2 + first :]
            assert read(client, iterator, len(rest)) == rest
        start = {"ShardIteratorType": "AT_TIMESTAMP", "Timestamp": records[0]["ApproximateArrivalTimestamp"]}
        iterator = client.get_shard_iterator(StreamName="s", ShardId=name, **start)["ShardIterator"]
        assert read(client, iterator, len(records)) == records
        # An iterator of one edge is good for the other.
        other = b if client is a else a
        assert read(other, iterator, len(records)) == records
        iterator = client.get_shard_iterator(StreamName="s", ShardId=name, ShardIteratorType="LATEST")["ShardIterator"]
        assert client.get_records(ShardIterator=iterator)["Records"] == []
    assert got == put

try:
    a.update_shard_count(StreamName="s", TargetShardCount=4, ScalingType="UNIFORM_SCALING")
    raise AssertionError("partitions are given by whoever has made the topic")
except a.exceptions.InvalidArgumentException as error:
    assert "topic" in str(error), error
