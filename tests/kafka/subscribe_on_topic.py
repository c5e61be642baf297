"""SubscribeToShard through boto3 over a stream that is in a topic. Argument: the endpoint of an edge."""

import json
import sys
import time

import boto3
from botocore.config import Config

client = boto3.client("kinesis", endpoint_url=sys.argv[1], config=Config(retries={"max_attempts": 1}))
arn = client.describe_stream_summary(StreamName="s")["StreamDescriptionSummary"]["StreamARN"]
shards = client.list_shards(StreamName="s")["Shards"]
assert len(shards) == 2, shards
consumer = client.register_stream_consumer(StreamARN=arn, ConsumerName="reader")["Consumer"]
began = time.monotonic()
while client.describe_stream_consumer(ConsumerARN=consumer["ConsumerARN"])["ConsumerDescription"][
    "ConsumerStatus"
] != "ACTIVE":
    assert time.monotonic() - began < 30
    time.sleep(0.1)

put = []
shard = shards[0]["ShardId"]
key = {"PartitionKey": "x", "ExplicitHashKey": shards[0]["HashKeyRange"]["StartingHashKey"]}
for n in range(100):
    placed = client.put_record(StreamName="s", Data=json.dumps({"n": n}).encode(), **key)
    assert placed["ShardId"] == shard
    put.append((placed["SequenceNumber"], json.dumps({"n": n}).encode()))


def subscribe(position):
    return iter(
        client.subscribe_to_shard(ConsumerARN=consumer["ConsumerARN"], ShardId=shard, StartingPosition=position)[
            "EventStream"
        ]
    )


def read(events, count):
    got, last = [], None
    while len(got) < count:
        event = next(events)["SubscribeToShardEvent"]
        got += [(record["SequenceNumber"], record["Data"]) for record in event["Records"]]
        last = event["ContinuationSequenceNumber"]
    return got, last


events = subscribe({"Type": "TRIM_HORIZON"})
got, last = read(events, 100)
assert got == put and last == put[-1][0], (got, last)
# As it grows.
placed = client.put_record(StreamName="s", Data=b'{"n":100}', **key)
got, last = read(events, 1)
assert got == [(placed["SequenceNumber"], b'{"n":100}')], got
put += got
# Another one takes over after five seconds, from anywhere.
for position, rest in (
    ({"Type": "AT_SEQUENCE_NUMBER", "SequenceNumber": put[60][0]}, put[60:]),
    ({"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": put[60][0]}, put[61:]),
):
    time.sleep(5.2)
    events = subscribe(position)
    assert read(events, len(rest))[0] == rest
client.deregister_stream_consumer(ConsumerARN=consumer["ConsumerARN"])
