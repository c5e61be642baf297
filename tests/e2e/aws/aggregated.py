"""Aggregated records, made and taken apart by the library for that. Arguments: the endpoint, how many records."""

import base64
import json
import sys

import boto3
from aws_kinesis_agg.aggregator import RecordAggregator
from aws_kinesis_agg.deaggregator import deaggregate_records

client = boto3.client("kinesis", endpoint_url=sys.argv[1])
count = int(sys.argv[2])

# Several user records in each, of different keys.
aggregator = RecordAggregator(max_size=5_000)
blobs = []
aggregator.on_record_complete(lambda record: blobs.append(record.get_contents()), execute_on_new_thread=False)
for number in range(count):
    aggregator.add_user_record(f"k{number % 7}", json.dumps({"n": number}).encode())
blobs.append(aggregator.clear_and_get().get_contents())
assert 5 < len(blobs) < count / 10, len(blobs)
records = [{"PartitionKey": key, "Data": data} for key, _, data in blobs]
put = client.put_records(StreamName="clicks", Records=records)
assert put["FailedRecordCount"] == 0, put

# They come back as they were put.
got = []
for shard in client.list_shards(StreamName="clicks")["Shards"]:
    position = {"ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    iterator = client.get_shard_iterator(StreamName="clicks", **position)["ShardIterator"]
    while True:
        page = client.get_records(ShardIterator=iterator, Limit=3)
        got += page["Records"]
        iterator = page["NextShardIterator"]
        if not page["Records"] and page["MillisBehindLatest"] == 0:
            break
numbers = [record["SequenceNumber"] for record in got]
assert sorted(numbers) == sorted(entry["SequenceNumber"] for entry in put["Records"])
by_number = {entry["SequenceNumber"]: record["Data"] for entry, record in zip(put["Records"], records)}
assert all(by_number[record["SequenceNumber"]] == record["Data"] for record in got)

# The library takes events of Lambda.
events = [
    {
        "eventSource": "aws:kinesis",
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": record["PartitionKey"],
            "sequenceNumber": record["SequenceNumber"],
            "data": base64.b64encode(record["Data"]),
            "approximateArrivalTimestamp": record["ApproximateArrivalTimestamp"].timestamp(),
        },
    }
    | dict.fromkeys(["eventVersion", "eventID", "eventName", "invokeIdentityArn", "awsRegion", "eventSourceARN"], "")
    for record in got
]
apart = [json.loads(base64.b64decode(event["kinesis"]["data"]))["n"] for event in deaggregate_records(events)]
assert sorted(apart) == list(range(count)), set(range(count)) - set(apart)
print("done")
