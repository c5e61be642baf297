"""Every operation of Firehose through the AWS CLI. Arguments: the endpoint."""

import json

from cli import aws, refused, report

destination = {
    "RoleARN": "arn:aws:iam::000000000000:role/firehose",
    "BucketARN": "arn:aws:s3:::bucket",
    "Prefix": "cli/data/",
    "BufferingHints": {"SizeInMBs": 64, "IntervalInSeconds": 900},
}
create = "firehose create-delivery-stream --delivery-stream-name cli --extended-s3-destination-configuration"
made = aws(create, json.dumps(destination), "--tags", "Key=a,Value=1", "Key=b")
assert made["DeliveryStreamARN"] == "arn:aws:firehose:us-east-1:000000000000:deliverystream/cli", made
refused("ResourceInUseException", create, json.dumps(destination))
redshift = "firehose create-delivery-stream --delivery-stream-name other-kind --redshift-destination-configuration"
redshift_destination = {
    "RoleARN": destination["RoleARN"],
    "ClusterJDBCURL": "jdbc:redshift://example.com:5439/db",
    "CopyCommand": {"DataTableName": "clicks"},
    "S3Configuration": destination,
}
message = refused("InvalidArgumentException", redshift, json.dumps(redshift_destination))
assert "RedshiftDestinationConfiguration is not supported by this server" in message, message
names = aws("firehose list-delivery-streams --limit 1")
assert names == {"DeliveryStreamNames": ["cli"], "HasMoreDeliveryStreams": True}, names
names = aws("firehose list-delivery-streams --exclusive-start-delivery-stream-name cli")
assert names == {"DeliveryStreamNames": ["orders"], "HasMoreDeliveryStreams": False}, names
name = "--delivery-stream-name cli"
reply = aws(f"firehose put-record {name} --record", json.dumps({"Data": '{"id":0}'}))
assert reply["RecordId"] and reply["Encrypted"] is False, reply
batch = [{"Data": json.dumps({"id": number})} for number in range(1, 10)]
reply = aws(f"firehose put-record-batch {name} --records", json.dumps(batch))
assert reply["FailedPutCount"] == 0 and len(reply["RequestResponses"]) == 9, reply
aws(f"firehose tag-delivery-stream {name} --tags Key=c,Value=3")
aws(f"firehose untag-delivery-stream {name} --tag-keys a")
tags = aws(f"firehose list-tags-for-delivery-stream {name}")
assert tags == {"Tags": [{"Key": "b"}, {"Key": "c", "Value": "3"}], "HasMoreTags": False}, tags
show = f"firehose describe-delivery-stream {name}"
aws(f"firehose start-delivery-stream-encryption {name}")
encryption = aws(show)["DeliveryStreamDescription"]["DeliveryStreamEncryptionConfiguration"]
assert encryption == {"KeyType": "AWS_OWNED_CMK", "Status": "ENABLED"}, encryption
aws(f"firehose stop-delivery-stream-encryption {name}")
update = f"firehose update-destination {name} --current-delivery-stream-version-id 1 --destination-id"
update += " destinationId-000000000001 --extended-s3-destination-update CompressionFormat=GZIP"
aws(update)
refused("ConcurrentModificationException", update)
description = aws(show)["DeliveryStreamDescription"]
shown = description["Destinations"][0]["ExtendedS3DestinationDescription"]
assert (description["VersionId"], shown["CompressionFormat"], shown["Prefix"]) == ("2", "GZIP", "cli/data/"), shown
refused("ResourceInUseException", "firehose delete-delivery-stream --delivery-stream-name orders")
aws(f"firehose delete-delivery-stream {name}")
assert aws(show)["DeliveryStreamDescription"]["DeliveryStreamStatus"] == "DELETING"
refused("ResourceNotFoundException", f"firehose put-record {name} --record", json.dumps({"Data": "{}"}))
message = refused("ResourceNotFoundException", "firehose describe-delivery-stream --delivery-stream-name none")
assert "Firehose none under account 000000000000 not found." in message, message
report()
