// Every operation of Firehose through the JavaScript SDK. Arguments: the endpoint.
import assert from "node:assert/strict";
import * as sdk from "@aws-sdk/client-firehose";
import { connect, refused, report } from "./called.mjs";

const client = connect(sdk.FirehoseClient, "firehose");
const refuses = (type, command, wanted) => refused(client, type, command, wanted);
const call = (operation, input) => client.send(new sdk[`${operation}Command`](input));
const DeliveryStreamName = "javascript";
const data = (id) => Buffer.from(JSON.stringify({ id }));
const destination = (more) => ({
  RoleARN: "arn:aws:iam::000000000000:role/firehose",
  BucketARN: "arn:aws:s3:::bucket",
  Prefix: "js/data/",
  BufferingHints: { SizeInMBs: 64, IntervalInSeconds: 900 },
  ...more,
});

// Making.
const made = await call("CreateDeliveryStream", {
  DeliveryStreamName,
  DeliveryStreamType: "DirectPut",
  ExtendedS3DestinationConfiguration: destination({ CompressionFormat: "GZIP" }),
  Tags: [{ Key: "a", Value: "1" }],
});
assert.equal(made.DeliveryStreamARN, `arn:aws:firehose:us-east-1:000000000000:deliverystream/${DeliveryStreamName}`);
const again = { DeliveryStreamName, ExtendedS3DestinationConfiguration: destination() };
await refuses(sdk.ResourceInUseException, new sdk.CreateDeliveryStreamCommand(again));
const wrong = {
  DeliveryStreamName: "wrong",
  ExtendedS3DestinationConfiguration: destination({ CompressionFormat: "LZ5" }),
};
await refuses("ValidationException", new sdk.CreateDeliveryStreamCommand(wrong), /compressionFormat/);
const redshift = {
  DeliveryStreamName: "x",
  RedshiftDestinationConfiguration: { RoleARN: "r", S3Configuration: destination() },
};
await refuses(
  sdk.InvalidArgumentException,
  new sdk.CreateDeliveryStreamCommand(redshift),
  /^RedshiftDestinationConfiguration is not supported/,
);

// Showing.
const { DeliveryStreamDescription: shown } = await call("DescribeDeliveryStream", { DeliveryStreamName });
assert.deepEqual([shown.DeliveryStreamStatus, shown.VersionId, shown.DeliveryStreamType], ["ACTIVE", "1", "DirectPut"]);
assert.ok(shown.CreateTimestamp instanceof Date && Math.abs(shown.CreateTimestamp - Date.now()) < 3_600_000);
const { DestinationId, ExtendedS3DestinationDescription: extended } = shown.Destinations[0];
for (const [member, value] of Object.entries(destination({ CompressionFormat: "GZIP" }))) {
  assert.deepEqual(extended[member], value, member);
}
const names = [];
let page;
do {
  const ExclusiveStartDeliveryStreamName = names.at(-1);
  page = await call("ListDeliveryStreams", { Limit: 1, ExclusiveStartDeliveryStreamName });
  names.push(...page.DeliveryStreamNames);
} while (page.HasMoreDeliveryStreams);
assert.deepEqual(names, [DeliveryStreamName, "orders"]);

// Putting.
const { RecordId, Encrypted } = await call("PutRecord", { DeliveryStreamName, Record: { Data: data(0) } });
assert.ok(RecordId.length > 0 && Encrypted === false);
const Records = Array.from({ length: 500 }, (_, n) => ({ Data: data(n + 1) }));
const batch = await call("PutRecordBatch", { DeliveryStreamName, Records });
assert.deepEqual([batch.FailedPutCount, batch.RequestResponses.length], [0, 500]);
assert.equal(new Set([RecordId, ...batch.RequestResponses.map((response) => response.RecordId)]).size, 501);
await refuses(
  "ValidationException",
  new sdk.PutRecordBatchCommand({ DeliveryStreamName, Records: [...Records, ...Records] }),
  /equal to 500$/,
);
const nobody = { DeliveryStreamName: "none", Record: { Data: data(0) } };
await refuses(
  sdk.ResourceNotFoundException,
  new sdk.PutRecordCommand(nobody),
  /^Firehose none under account 000000000000 not found\.$/,
);

// Changing.
await call("TagDeliveryStream", { DeliveryStreamName, Tags: [{ Key: "b", Value: "2" }, { Key: "c" }] });
await call("UntagDeliveryStream", { DeliveryStreamName, TagKeys: ["a"] });
const tags = await call("ListTagsForDeliveryStream", { DeliveryStreamName, Limit: 1 });
assert.deepEqual([tags.Tags, tags.HasMoreTags], [[{ Key: "b", Value: "2" }], true]);
const rest = await call("ListTagsForDeliveryStream", { DeliveryStreamName, ExclusiveStartTagKey: "b" });
assert.deepEqual([rest.Tags, rest.HasMoreTags], [[{ Key: "c" }], false]);
const DeliveryStreamEncryptionConfigurationInput = {
  KeyType: "CUSTOMER_MANAGED_CMK",
  KeyARN: "arn:aws:kms:us-east-1:000000000000:key/k",
};
await call("StartDeliveryStreamEncryption", { DeliveryStreamName, DeliveryStreamEncryptionConfigurationInput });
const encryption = async () =>
  (await call("DescribeDeliveryStream", { DeliveryStreamName })).DeliveryStreamDescription
    .DeliveryStreamEncryptionConfiguration;
const { KeyType, KeyARN, Status } = await encryption();
assert.deepEqual([{ KeyType, KeyARN }, Status], [DeliveryStreamEncryptionConfigurationInput, "ENABLED"]);
await call("StopDeliveryStreamEncryption", { DeliveryStreamName });
assert.equal((await encryption()).Status, "DISABLED");
const update = {
  DeliveryStreamName,
  DestinationId,
  CurrentDeliveryStreamVersionId: "1",
  ExtendedS3DestinationUpdate: { CompressionFormat: "UNCOMPRESSED" },
};
await call("UpdateDestination", update);
await refuses(sdk.ConcurrentModificationException, new sdk.UpdateDestinationCommand(update));
const { DeliveryStreamDescription: updated } = await call("DescribeDeliveryStream", { DeliveryStreamName });
const { CompressionFormat, Prefix } = updated.Destinations[0].ExtendedS3DestinationDescription;
assert.deepEqual([updated.VersionId, CompressionFormat, Prefix], ["2", "UNCOMPRESSED", "js/data/"]);
assert.ok(updated.LastUpdateTimestamp instanceof Date);

// Deleting: what it has is delivered first.
await refuses(
  sdk.ResourceInUseException,
  new sdk.DeleteDeliveryStreamCommand({ DeliveryStreamName: "orders" }),
  /change its file/,
);
await call("DeleteDeliveryStream", { DeliveryStreamName });
assert.equal(
  (await call("DescribeDeliveryStream", { DeliveryStreamName })).DeliveryStreamDescription.DeliveryStreamStatus,
  "DELETING",
);
await refuses(
  sdk.ResourceNotFoundException,
  new sdk.PutRecordCommand({ DeliveryStreamName, Record: { Data: data(0) } }),
);
client.destroy();
report();
