"""Puts numbered records. Arguments: the endpoint, the stream, the first number, how many."""

import json
import sys

import boto3
from botocore.config import Config

client = boto3.client("kinesis", endpoint_url=sys.argv[1], config=Config(retries={"max_attempts": 1}))
stream, first, count = sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
for begin in range(first, first + count, 500):
    numbers = range(begin, min(begin + 500, first + count))
    records = [
        {"Data": json.dumps({"n": n, "key": f"k{n % 97}"}).encode(), "PartitionKey": f"k{n % 97}"} for n in numbers
    ]
    reply = client.put_records(StreamName=stream, Records=records)
    assert reply["FailedRecordCount"] == 0, reply
print("ok")
