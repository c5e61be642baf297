"""Every operation of Kinesis Data Streams that the AWS CLI has. Arguments: the endpoint, and perhaps an iterator
that has expired."""

import json
import sys

from cli import aws, refused, report


def records(iterator, *more):
    return aws("kinesis get-records --shard-iterator", iterator, *more)


def iterator(stream, shard, kind, *more):
    line = f"kinesis get-shard-iterator --stream-name {stream} --shard-id {shard} --shard-iterator-type {kind}"
    return aws(line, *more)["ShardIterator"]


# A stream of its own.
assert aws("kinesis create-stream --stream-name s --shard-count 2 --tags team=a") is None
aws("kinesis wait stream-exists --stream-name s")
message = refused("ResourceInUseException", "kinesis create-stream --stream-name s --shard-count 1")
assert "Stream s under account 000000000000 already exists." in message, message
refused("ValidationException", "kinesis create-stream --stream-name a/b --shard-count 1")
# All pages, one stream a page.
assert aws("kinesis list-streams --page-size 1")["StreamNames"] == ["orders", "other", "s"]
assert aws("kinesis list-streams --max-items 1")["StreamNames"] == ["orders"]
summary = aws("kinesis describe-stream-summary --stream-name s")["StreamDescriptionSummary"]
arn = summary["StreamARN"]
assert (summary["OpenShardCount"], summary["RetentionPeriodHours"], summary["StreamStatus"]) == (2, 24, "ACTIVE")
aws(f"kinesis add-tags-to-stream --stream-arn {arn} --tags b=2,c=3")
aws("kinesis remove-tags-from-stream --stream-name s --tag-keys b")
tags = aws("kinesis list-tags-for-stream --stream-name s")
assert tags == {"Tags": [{"Key": "c", "Value": "3"}, {"Key": "team", "Value": "a"}], "HasMoreTags": False}, tags
aws("kinesis increase-stream-retention-period --stream-name s --retention-period-hours 48")
decrease = "kinesis decrease-stream-retention-period --stream-name s --retention-period-hours"
refused("InvalidArgumentException", f"{decrease} 72")
aws(f"{decrease} 36")
aws(f"kinesis update-stream-mode --stream-arn {arn} --stream-mode-details StreamMode=ON_DEMAND")
aws("kinesis start-stream-encryption --stream-name s --encryption-type KMS --key-id alias/key")
metrics = aws("kinesis enable-enhanced-monitoring --stream-name s --shard-level-metrics IncomingBytes IncomingRecords")
assert metrics["DesiredShardLevelMetrics"] == ["IncomingBytes", "IncomingRecords"], metrics
metrics = aws("kinesis disable-enhanced-monitoring --stream-name s --shard-level-metrics IncomingBytes")
assert metrics["DesiredShardLevelMetrics"] == ["IncomingRecords"], metrics
description = aws("kinesis describe-stream-summary --stream-name s")["StreamDescriptionSummary"]
assert description["StreamModeDetails"] == {"StreamMode": "ON_DEMAND"} and description["RetentionPeriodHours"] == 36
assert (description["EncryptionType"], description["KeyId"]) == ("KMS", "alias/key"), description
assert description["EnhancedMonitoring"] == [{"ShardLevelMetrics": ["IncomingRecords"]}], description
aws("kinesis stop-stream-encryption --stream-name s --encryption-type KMS --key-id alias/key")
assert aws("kinesis describe-limits")["OpenShardCount"] == 5

# Records. This version of the program encodes what it is given as blobs.
put = aws("kinesis put-record --stream-name s --partition-key k --explicit-hash-key 0 --data", '{"n":0}')
assert put["ShardId"] == "shardId-000000000000" and len(put["SequenceNumber"]) == 56, put
batch = [{"Data": json.dumps({"n": n}), "PartitionKey": "k", "ExplicitHashKey": "0"} for n in range(1, 20)]
reply = aws("kinesis put-records --stream-name s --records", json.dumps(batch))
assert reply["FailedRecordCount"] == 0 and {record["ShardId"] for record in reply["Records"]} == {put["ShardId"]}
numbers = [put["SequenceNumber"]] + [record["SequenceNumber"] for record in reply["Records"]]
page = records(iterator("s", put["ShardId"], "TRIM_HORIZON"))
assert [record["SequenceNumber"] for record in page["Records"]] == numbers and page["MillisBehindLatest"] == 0
middle = ["--starting-sequence-number", numbers[10]]
for kind, more, wanted in [
    ("LATEST", [], []),
    ("AT_SEQUENCE_NUMBER", middle, numbers[10:]),
    ("AFTER_SEQUENCE_NUMBER", middle, numbers[11:]),
    ("AT_TIMESTAMP", ["--timestamp", "2020-01-01T00:00:00Z"], numbers),
]:
    page = records(iterator("s", put["ShardId"], kind, *more))
    assert [record["SequenceNumber"] for record in page["Records"]] == wanted, (kind, page)
first = records(iterator("s", put["ShardId"], "TRIM_HORIZON"), "--limit", "7")
then = records(first["NextShardIterator"], "--limit", "7")
assert [record["SequenceNumber"] for record in first["Records"] + then["Records"]] == numbers[:14]
for expired in sys.argv[2:]:
    refused("ExpiredIteratorException", "kinesis get-records --shard-iterator", expired)
message = refused("InvalidArgumentException", "kinesis get-records --shard-iterator AAAA")
assert "Invalid ShardIterator." in message, message
message = refused("ResourceNotFoundException", "kinesis put-record --stream-name none --partition-key k --data x")
assert "Stream none under account 000000000000 not found." in message, message

# Shards.
shards = aws("kinesis list-shards --stream-name s")["Shards"]
middle = str(1 << 126)
aws(f"kinesis split-shard --stream-name s --shard-to-split {shards[0]['ShardId']} --new-starting-hash-key {middle}")
refused(
    "InvalidArgumentException",
    f"kinesis split-shard --stream-name s --shard-to-split {shards[0]['ShardId']} --new-starting-hash-key {middle}",
)
# Pages are asked for with the name as well, which the service refuses; an ARN is fine here.
message = refused("InvalidArgumentException", "kinesis list-shards --stream-name s --page-size 1")
assert "NextToken and StreamName cannot be provided together." in message, message
shards = aws(f"kinesis list-shards --stream-arn {arn} --page-size 1")["Shards"]
assert [shard.get("ParentShardId") for shard in shards] == [None, None] + [shards[0]["ShardId"]] * 2, shards
assert aws("kinesis describe-stream --stream-name s --page-size 1")["StreamDescription"]["Shards"] == shards
ended = records(iterator("s", put["ShardId"], "LATEST"))
assert "NextShardIterator" not in ended and len(ended["ChildShards"]) == 2, ended
ids = [shard["ShardId"] for shard in shards]
refused(
    "InvalidArgumentException",
    f"kinesis merge-shards --stream-name s --shard-to-merge {ids[1]} --adjacent-shard-to-merge {ids[2]}",
)
aws(f"kinesis merge-shards --stream-name s --shard-to-merge {ids[2]} --adjacent-shard-to-merge {ids[3]}")
scaled = aws("kinesis update-shard-count --stream-name s --target-shard-count 4 --scaling-type UNIFORM_SCALING")
assert (scaled["CurrentShardCount"], scaled["TargetShardCount"], scaled["StreamARN"]) == (2, 4, arn), scaled
assert len(aws("kinesis list-shards --stream-name s --shard-filter Type=AT_LATEST")["Shards"]) == 4

# Consumers. The program has no command to subscribe.
consumer = aws(f"kinesis register-stream-consumer --stream-arn {arn} --consumer-name one")["Consumer"]["ConsumerARN"]
aws(f"kinesis register-stream-consumer --stream-arn {arn} --consumer-name two")
refused("ResourceInUseException", f"kinesis register-stream-consumer --stream-arn {arn} --consumer-name two")
found = aws(f"kinesis list-stream-consumers --stream-arn {arn} --page-size 1")["Consumers"]
assert [(each["ConsumerName"], each["ConsumerStatus"]) for each in found] == [("one", "ACTIVE"), ("two", "ACTIVE")]
described = aws(f"kinesis describe-stream-consumer --consumer-arn {consumer}")["ConsumerDescription"]
assert (described["ConsumerName"], described["StreamARN"]) == ("one", arn), described
aws(f"kinesis deregister-stream-consumer --consumer-arn {consumer}")
refused("ResourceNotFoundException", f"kinesis describe-stream-consumer --consumer-arn {consumer}")
refused("ResourceInUseException", "kinesis delete-stream --stream-name s")
aws("kinesis delete-stream --stream-name s --enforce-consumer-deletion")
aws("kinesis wait stream-not-exists --stream-name s")
refused("InvalidArgumentException", "kinesis delete-stream --stream-name orders")
report()
