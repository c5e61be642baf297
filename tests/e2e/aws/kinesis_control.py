"""Making, changing and deleting streams, resharding, and consumers, through boto3. Arguments: the endpoint."""

import json
import sys
import threading
import time

import boto3
from botocore.config import Config

import called

config = Config(retries={"max_attempts": 1}, parameter_validation=False, read_timeout=60)
client = boto3.client("kinesis", endpoint_url=sys.argv[1], config=config)
called.note(client)


def refused(kind, call, **arguments):
    try:
        call(**arguments)
    except client.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == kind, error
        return
    raise AssertionError(f"{kind} expected")


# A stream of its own.
client.create_stream(StreamName="made", ShardCount=2, Tags={"team": "a"})
client.get_waiter("stream_exists").wait(StreamName="made")
refused("ResourceInUseException", client.create_stream, StreamName="made", ShardCount=2)
refused("LimitExceededException", client.create_stream, StreamName="many", ShardCount=100_000)
summary = client.describe_stream_summary(StreamName="made")["StreamDescriptionSummary"]
arn = summary["StreamARN"]
assert summary["OpenShardCount"] == 2 and summary["RetentionPeriodHours"] == 24

# What is noted of it.
client.add_tags_to_stream(StreamName="made", Tags={"b": "2", "c": "3"})
client.remove_tags_from_stream(StreamName="made", TagKeys=["b"])
page = client.list_tags_for_stream(StreamName="made", Limit=1)
assert page["Tags"] == [{"Key": "c", "Value": "3"}] and page["HasMoreTags"]
assert client.list_tags_for_stream(StreamName="made", ExclusiveStartTagKey="c")["Tags"][0]["Key"] == "team"
client.increase_stream_retention_period(StreamName="made", RetentionPeriodHours=48)
refused("InvalidArgumentException", client.increase_stream_retention_period, StreamName="made", RetentionPeriodHours=24)
assert client.describe_stream(StreamName="made")["StreamDescription"]["RetentionPeriodHours"] == 48
client.decrease_stream_retention_period(StreamARN=arn, RetentionPeriodHours=24)
client.update_stream_mode(StreamARN=arn, StreamModeDetails={"StreamMode": "ON_DEMAND"})
client.start_stream_encryption(StreamName="made", EncryptionType="KMS", KeyId="alias/key")
reply = client.enable_enhanced_monitoring(StreamName="made", ShardLevelMetrics=["ALL"])
assert len(reply["DesiredShardLevelMetrics"]) == 7
reply = client.disable_enhanced_monitoring(StreamName="made", ShardLevelMetrics=["IncomingBytes"])
assert len(reply["CurrentShardLevelMetrics"]) == 7 and len(reply["DesiredShardLevelMetrics"]) == 6
description = client.describe_stream(StreamName="made")["StreamDescription"]
assert description["StreamModeDetails"]["StreamMode"] == "ON_DEMAND"
assert (description["EncryptionType"], description["KeyId"]) == ("KMS", "alias/key")
client.stop_stream_encryption(StreamName="made", EncryptionType="KMS", KeyId="alias/key")
key = {"StreamName": "sealed", "EncryptionType": "KMS", "KeyId": "alias/key"}
client.create_stream(StreamName="sealed", ShardCount=1)
for label, change in [("NONE", None), ("KMS", client.start_stream_encryption), ("NONE", client.stop_stream_encryption)]:
    if change:
        change(**key)
    entry = {"Data": b"{}", "PartitionKey": "k"}
    assert client.put_record(StreamName="sealed", **entry)["EncryptionType"] == label
    assert client.put_records(StreamName="sealed", Records=[entry])["EncryptionType"] == label
    place = {"ShardId": "shardId-000000000000", "ShardIteratorType": "TRIM_HORIZON"}
    iterator = client.get_shard_iterator(StreamName="sealed", **place)["ShardIterator"]
    records = client.get_records(ShardIterator=iterator)["Records"]
    assert records and all(record["EncryptionType"] == label for record in records), records
client.delete_stream(StreamName="sealed")
assert client.describe_stream(StreamName="made")["StreamDescription"]["EncryptionType"] == "NONE"

# Resharding under load: each key's records stay in order, parents read to their end before children.
stop, put = threading.Event(), 0


def produce():
    global put
    while not stop.is_set():
        records = [
            {"Data": json.dumps({"n": put + n}).encode(), "PartitionKey": f"k{(put + n) % 10}"} for n in range(20)
        ]
        assert client.put_records(StreamARN=arn, Records=records)["FailedRecordCount"] == 0
        put += 20


producer = threading.Thread(target=produce)
producer.start()
shard = client.list_shards(StreamName="made")["Shards"][0]
low, high = (int(shard["HashKeyRange"][edge]) for edge in ["StartingHashKey", "EndingHashKey"])
client.split_shard(StreamName="made", ShardToSplit=shard["ShardId"], NewStartingHashKey=str((low + high) // 2))
shards = client.list_shards(StreamName="made")["Shards"]
assert [s.get("ParentShardId") for s in shards[2:]] == [shard["ShardId"]] * 2, shards
assert "EndingSequenceNumber" in shards[0]["SequenceNumberRange"]
refused(
    "InvalidArgumentException",
    client.split_shard,
    StreamName="made",
    ShardToSplit=shard["ShardId"],
    NewStartingHashKey=str((low + high) // 2),
)
client.merge_shards(
    StreamName="made", ShardToMerge=shards[2]["ShardId"], AdjacentShardToMerge=shards[3]["ShardId"]
)
merged = client.list_shards(StreamName="made")["Shards"][4]
assert merged["AdjacentParentShardId"] == shards[3]["ShardId"]
assert merged["HashKeyRange"] == shard["HashKeyRange"]
client.update_shard_count(StreamName="made", TargetShardCount=4, ScalingType="UNIFORM_SCALING")
open_shards = client.list_shards(StreamName="made", ShardFilter={"Type": "AT_LATEST"})["Shards"]
assert len(open_shards) == 4
oldest = client.list_shards(StreamName="made", ShardFilter={"Type": "AT_TRIM_HORIZON"})["Shards"]
assert [s["ShardId"] for s in oldest] == [shards[0]["ShardId"], shards[1]["ShardId"]]
time.sleep(0.2)
stop.set()
producer.join()

seen, done, waiting, last_numbers = {}, set(), [s["ShardId"] for s in oldest], {}
parents = {s["ShardId"]: {s.get("ParentShardId"), s.get("AdjacentParentShardId")} - {None} for s in
           client.list_shards(StreamName="made")["Shards"]}
total = 0
while waiting:
    current = waiting.pop(0)
    if current in done or not parents[current] <= done:
        continue
    iterator = client.get_shard_iterator(StreamName="made", ShardId=current, ShardIteratorType="TRIM_HORIZON")[
        "ShardIterator"
    ]
    while iterator:
        page = client.get_records(ShardIterator=iterator, Limit=500)
        for record in page["Records"]:
            n, key, number = json.loads(record["Data"])["n"], record["PartitionKey"], int(record["SequenceNumber"])
            assert n > seen.get(key, -1) and number > last_numbers.get(key, -1), (n, key)
            seen[key], last_numbers[key] = n, number
            total += 1
        iterator = page.get("NextShardIterator")
        if not iterator:
            assert page["ChildShards"], current
            waiting += [child["ShardId"] for child in page["ChildShards"]]
        elif not page["Records"] and page["MillisBehindLatest"] == 0:
            break
    done.add(current)
assert total == put and len(done) == len(parents), (total, put, done, parents)

# Consumers.
consumer = client.register_stream_consumer(StreamARN=arn, ConsumerName="reader")["Consumer"]
consumer_arn = consumer["ConsumerARN"]
refused("ResourceInUseException", client.register_stream_consumer, StreamARN=arn, ConsumerName="reader")
described = client.describe_stream_consumer(ConsumerARN=consumer_arn)["ConsumerDescription"]
assert (described["ConsumerStatus"], described["StreamARN"]) == ("ACTIVE", arn)
client.register_stream_consumer(StreamARN=arn, ConsumerName="second")
page = client.list_stream_consumers(StreamARN=arn, MaxResults=1)
assert [c["ConsumerName"] for c in page["Consumers"]] == ["reader"]
page = client.list_stream_consumers(StreamARN=arn, NextToken=page["NextToken"])
assert [c["ConsumerName"] for c in page["Consumers"]] == ["second"] and "NextToken" not in page
pages = client.get_paginator("list_stream_consumers").paginate(StreamARN=arn, PaginationConfig={"PageSize": 1})
assert [c["ConsumerName"] for page in pages for c in page["Consumers"]] == ["reader", "second"]
pages = client.get_paginator("list_shards").paginate(StreamARN=arn, PaginationConfig={"PageSize": 2})
assert [s for page in pages for s in page["Shards"]] == client.list_shards(StreamName="made")["Shards"]
refused("ResourceInUseException", client.delete_stream, StreamName="made")

# A closed shard is sent to its end, and its children are named.
start = {"Type": "TRIM_HORIZON"}
events = list(
    client.subscribe_to_shard(ConsumerARN=consumer_arn, ShardId=shards[0]["ShardId"], StartingPosition=start)[
        "EventStream"
    ]
)
got = [record for event in events for record in event["SubscribeToShardEvent"]["Records"]]
iterator = client.get_shard_iterator(
    StreamName="made", ShardId=shards[0]["ShardId"], ShardIteratorType="TRIM_HORIZON"
)["ShardIterator"]
assert got == client.get_records(ShardIterator=iterator)["Records"]
children = events[-1]["SubscribeToShardEvent"]["ChildShards"]
assert [child["ShardId"] for child in children] == [s["ShardId"] for s in shards[2:4]], children
assert "ContinuationSequenceNumber" not in events[-1]["SubscribeToShardEvent"]

# An open one is sent as it grows; a second subscription has to wait five seconds, and then takes over.
target = open_shards[0]
key = {"PartitionKey": "x", "ExplicitHashKey": target["HashKeyRange"]["StartingHashKey"]}
subscribe = {"ConsumerARN": consumer_arn, "ShardId": target["ShardId"], "StartingPosition": {"Type": "LATEST"}}
begun = time.monotonic()
stream = client.subscribe_to_shard(**subscribe)["EventStream"]
events = iter(stream)
first = next(events)["SubscribeToShardEvent"]
assert first["Records"] == [] and first["MillisBehindLatest"] == 0
put = client.put_record(StreamName="made", Data=b'{"live":1}', **key)
event = next(events)["SubscribeToShardEvent"]
assert [record["Data"] for record in event["Records"]] == [b'{"live":1}']
assert event["Records"][0]["SequenceNumber"] == put["SequenceNumber"] == event["ContinuationSequenceNumber"]
if time.monotonic() - begun < 4:
    refused("ResourceInUseException", client.subscribe_to_shard, **subscribe)
time.sleep(max(0, 5.2 - (time.monotonic() - begun)))
after = {"Type": "AFTER_SEQUENCE_NUMBER", "SequenceNumber": event["ContinuationSequenceNumber"]}
second = iter(client.subscribe_to_shard(**{**subscribe, "StartingPosition": after})["EventStream"])
assert next(second)["SubscribeToShardEvent"]["Records"] == []
try:
    for _ in events:
        pass
    raise AssertionError("the first subscription goes on")
except Exception as error:
    assert "ResourceInUseException" in str(error), error
client.put_record(StreamName="made", Data=b'{"live":2}', **key)
assert next(second)["SubscribeToShardEvent"]["Records"][0]["Data"] == b'{"live":2}'

# It ends with its consumer.
client.deregister_stream_consumer(ConsumerARN=consumer_arn)
try:
    for _ in second:
        pass
    raise AssertionError("the subscription goes on")
except Exception as error:
    assert "ResourceNotFoundException" in str(error), error
refused("ResourceNotFoundException", client.subscribe_to_shard, **subscribe)
client.deregister_stream_consumer(StreamARN=arn, ConsumerName="second")

# The end. What a pipeline file names is not deleted.
refused("InvalidArgumentException", client.delete_stream, StreamName="clicks")
client.delete_stream(StreamName="made", EnforceConsumerDeletion=True)
client.get_waiter("stream_not_exists").wait(StreamName="made")
refused("ResourceNotFoundException", client.describe_stream, StreamName="made")
called.report()
