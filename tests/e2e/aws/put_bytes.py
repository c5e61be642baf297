"""Puts records of random bytes, and notes each that was taken, in hexadecimal, in a file. Arguments: the endpoint,
`kinesis` or `firehose`, the stream, the file, a seed."""

import random
import sys

import boto3
from botocore.config import Config

endpoint, service, stream, path, seed = sys.argv[1:6]
client = boto3.client(service, endpoint_url=endpoint, config=Config(retries={"max_attempts": 1}))
chance = random.Random(int(seed))


def record():
    length = chance.choice([1, 2, 7, 60, 300, 5_000])
    return bytes(chance.choice([0, 10, 13, 123, chance.randrange(256)]) for _ in range(length))


with open(path, "a", encoding="ascii") as noted:
    for _ in range(20):
        records = [record() for _ in range(40)]
        if service == "kinesis":
            entries = [{"Data": data, "PartitionKey": "k"} for data in records]
            failed = client.put_records(StreamName=stream, Records=entries)["FailedRecordCount"]
        else:
            entries = [{"Data": data} for data in records]
            failed = client.put_record_batch(DeliveryStreamName=stream, Records=entries)["FailedPutCount"]
        assert failed == 0, failed
        noted.writelines(data.hex() + "\n" for data in records)
print("ok")
