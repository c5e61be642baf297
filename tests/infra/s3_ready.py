"""Waits for the S3 server whose process id is given, and makes the bucket.

Ready means that the server knows the keys of this run (so that it is ours and nobody else's on that port), that the
bucket is there, and that the read-only identity can read but not write.
"""

import os
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

DEADLINE_SECONDS = 60


def client(key: str, secret: str):
    config = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=10, s3={"addressing_style": "path"})
    return boto3.client(
        "s3",
        endpoint_url=os.environ["FOREBAY_S3_ENDPOINT"],
        region_name=os.environ["AWS_REGION"],
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=config,
    )


def make_ready(bucket: str) -> None:
    admin = client(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"])
    if bucket not in [known["Name"] for known in admin.list_buckets()["Buckets"]]:
        admin.create_bucket(Bucket=bucket)
    admin.put_object(Bucket=bucket, Key="ready", Body=b"ready")
    reader = client(os.environ["FOREBAY_S3_READONLY_KEY"], os.environ["FOREBAY_S3_READONLY_SECRET"])
    reader.get_object(Bucket=bucket, Key="ready")
    try:
        reader.put_object(Bucket=bucket, Key="ready", Body=b"")
    except ClientError as refused:
        if refused.response["Error"]["Code"] != "AccessDenied":
            raise
    else:
        sys.exit("the read-only identity may write: the server does not use its configuration")
    admin.delete_object(Bucket=bucket, Key="ready")


def main() -> None:
    server = int(sys.argv[1])
    deadline = time.monotonic() + DEADLINE_SECONDS
    while True:
        try:
            return make_ready(os.environ["FOREBAY_S3_BUCKET"])
        except (BotoCoreError, ClientError) as problem:
            if time.monotonic() > deadline:
                sys.exit(f"the S3 server was not ready after {DEADLINE_SECONDS} s: {problem}")
        try:
            os.kill(server, 0)
        except ProcessLookupError:
            sys.exit("the S3 server has ended")
        time.sleep(0.1)


main()
