// Every operation of Kinesis Data Streams through the JavaScript SDK, which speaks HTTP/2. Arguments: the endpoint, and
// perhaps an iterator that has expired.
import assert from "node:assert/strict";
import * as sdk from "@aws-sdk/client-kinesis";
import { connect, refused, report } from "./called.mjs";

const client = connect(sdk.KinesisClient, "kinesis");
const refuses = (type, command, wanted) => refused(client, type, command, wanted);
const call = (operation, input) => client.send(new sdk[`${operation}Command`](input));
const all = async (pages, member) => {
  const found = [];
  for await (const page of pages) found.push(...member(page));
  return found;
};
const StreamName = "made-in-javascript";
const data = (n) => Buffer.from(JSON.stringify({ n }));
const numbers = (records) => records.map((record) => JSON.parse(Buffer.from(record.Data).toString()).n);
const range = (from, to) => Array.from({ length: to - from }, (_, n) => from + n);

// A stream of its own.
await call("CreateStream", { StreamName, ShardCount: 1, Tags: { team: "a" } });
const waiting = { client, maxWaitTime: 30, minDelay: 1, maxDelay: 1 };
assert.equal((await sdk.waitUntilStreamExists(waiting, { StreamName })).state, "SUCCESS");
await refuses(
  sdk.ResourceInUseException,
  new sdk.CreateStreamCommand({ StreamName, ShardCount: 1 }),
  /^Stream made-in-javascript under account 000000000000 already exists\.$/,
);
await refuses(sdk.LimitExceededException, new sdk.CreateStreamCommand({ StreamName: "many", ShardCount: 100_000 }));
await refuses(
  sdk.ValidationException,
  new sdk.CreateStreamCommand({ StreamName: "a b", ShardCount: 1 }),
  /'a b' at 'streamName'/,
);
const names = await all(sdk.paginateListStreams({ client, pageSize: 1 }, {}), (page) => page.StreamNames);
assert.deepEqual(names, ["clicks", StreamName, "strict"]);
const { StreamDescriptionSummary: summary } = await call("DescribeStreamSummary", { StreamName });
const { StreamARN } = summary;
assert.equal(StreamARN, `arn:aws:kinesis:us-east-1:000000000000:stream/${StreamName}`);
assert.ok(
  summary.StreamCreationTimestamp instanceof Date && Math.abs(summary.StreamCreationTimestamp - Date.now()) < 3_600_000,
);
assert.deepEqual([summary.OpenShardCount, summary.ConsumerCount, summary.RetentionPeriodHours], [1, 0, 24]);

// What is noted of it.
await call("AddTagsToStream", { StreamARN, Tags: { b: "2", c: "3" } });
await call("RemoveTagsFromStream", { StreamName, TagKeys: ["b"] });
const tags = await call("ListTagsForStream", { StreamName, Limit: 1 });
assert.deepEqual([tags.Tags, tags.HasMoreTags], [[{ Key: "c", Value: "3" }], true]);
const rest = await call("ListTagsForStream", { StreamARN, ExclusiveStartTagKey: "c" });
assert.deepEqual([rest.Tags, rest.HasMoreTags], [[{ Key: "team", Value: "a" }], false]);
await call("IncreaseStreamRetentionPeriod", { StreamName, RetentionPeriodHours: 72 });
assert.equal((await call("DescribeStream", { StreamARN })).StreamDescription.RetentionPeriodHours, 72);
await refuses(
  sdk.InvalidArgumentException,
  new sdk.IncreaseStreamRetentionPeriodCommand({ StreamName, RetentionPeriodHours: 48 }),
  /can not be shorter/,
);
await call("DecreaseStreamRetentionPeriod", { StreamName, RetentionPeriodHours: 24 });
await call("UpdateStreamMode", { StreamARN, StreamModeDetails: { StreamMode: "ON_DEMAND" } });
await call("StartStreamEncryption", { StreamName, EncryptionType: "KMS", KeyId: "alias/key" });
const enabled = await call("EnableEnhancedMonitoring", {
  StreamName,
  ShardLevelMetrics: ["IncomingBytes", "OutgoingBytes"],
});
assert.deepEqual(enabled.DesiredShardLevelMetrics, ["IncomingBytes", "OutgoingBytes"]);
const disabled = await call("DisableEnhancedMonitoring", { StreamName, ShardLevelMetrics: ["IncomingBytes"] });
assert.deepEqual(
  [disabled.CurrentShardLevelMetrics, disabled.DesiredShardLevelMetrics],
  [["IncomingBytes", "OutgoingBytes"], ["OutgoingBytes"]],
);
const { StreamDescription: labelled } = await call("DescribeStream", { StreamName });
assert.deepEqual(
  [labelled.StreamModeDetails.StreamMode, labelled.EncryptionType, labelled.KeyId, labelled.EnhancedMonitoring],
  ["ON_DEMAND", "KMS", "alias/key", [{ ShardLevelMetrics: ["OutgoingBytes"] }]],
);
await call("StopStreamEncryption", { StreamName, EncryptionType: "KMS", KeyId: "alias/key" });
assert.equal((await call("DescribeStream", { StreamName })).StreamDescription.EncryptionType, "NONE");
assert.equal((await call("DescribeLimits", {})).OpenShardCount, 3);

// Records, read from each kind of position.
const first = await call("PutRecord", { StreamName, Data: data(0), PartitionKey: "k" });
assert.match(first.SequenceNumber, /^\d{56}$/);
const Records = range(1, 100).map((n) => ({ Data: data(n), PartitionKey: "k" }));
const put = await call("PutRecords", { StreamARN, Records });
assert.deepEqual([put.FailedRecordCount, put.Records.length], [0, 99]);
const ShardId = "shardId-000000000000";
assert.ok(put.Records.every((record) => record.ShardId === ShardId));
const order = [first, ...put.Records].map((record) => BigInt(record.SequenceNumber));
assert.ok(order.every((number, index) => index === 0 || number > order[index - 1]));
const read = async (position, limit) => {
  const { ShardIterator } = await call("GetShardIterator", { StreamName, ShardId, ...position });
  const page = await call("GetRecords", { ShardIterator, Limit: limit });
  return { ...page, numbers: numbers(page.Records) };
};
const StartingSequenceNumber = put.Records[49].SequenceNumber;
for (const [position, wanted] of [
  [{ ShardIteratorType: "TRIM_HORIZON" }, range(0, 100)],
  [{ ShardIteratorType: "LATEST" }, []],
  [{ ShardIteratorType: "AT_SEQUENCE_NUMBER", StartingSequenceNumber }, range(50, 100)],
  [{ ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber }, range(51, 100)],
  [{ ShardIteratorType: "AT_TIMESTAMP", Timestamp: new Date(Date.now() - 3_600_000) }, range(0, 100)],
]) {
  const page = await read(position);
  assert.deepEqual([page.numbers, page.MillisBehindLatest], [wanted, 0], position.ShardIteratorType);
}
const page = await read({ ShardIteratorType: "TRIM_HORIZON" }, 10);
assert.deepEqual(page.numbers, range(0, 10));
assert.ok(page.Records[0].ApproximateArrivalTimestamp instanceof Date && page.MillisBehindLatest >= 0);
const second = await call("GetRecords", { ShardIterator: page.NextShardIterator, Limit: 10 });
assert.deepEqual(numbers(second.Records), range(10, 20));
const bad = [
  { Data: data("x"), PartitionKey: "k" },
  { Data: data(1), PartitionKey: "k" },
];
const judged = await call("PutRecords", { StreamName: "strict", Records: bad });
assert.deepEqual(
  [judged.FailedRecordCount, judged.Records.map((record) => record.ErrorCode)],
  [1, ["InvalidArgumentException", undefined]],
);

// Refusals, as the types that the SDK has for them.
const none = { StreamName: "none" };
await refuses(
  sdk.ResourceNotFoundException,
  new sdk.DescribeStreamCommand(none),
  /^Stream none under account 000000000000 not found\.$/,
);
await refuses(sdk.ResourceNotFoundException, new sdk.PutRecordCommand({ ...none, Data: data(0), PartitionKey: "k" }));
const nowhere = { StreamName, ShardId: "shardId-000000000009", ShardIteratorType: "LATEST" };
await refuses(sdk.ResourceNotFoundException, new sdk.GetShardIteratorCommand(nowhere));
const forged = page.NextShardIterator.slice(0, -4) + "AAAA";
await refuses(
  sdk.InvalidArgumentException,
  new sdk.GetRecordsCommand({ ShardIterator: forged }),
  /^Invalid ShardIterator\.$/,
);
for (const ShardIterator of process.argv.slice(3)) {
  await refuses(sdk.ExpiredIteratorException, new sdk.GetRecordsCommand({ ShardIterator }), /^Iterator expired\./);
}
await refuses(sdk.ValidationException, new sdk.PutRecordsCommand({ StreamName, Records: [] }), /at 'records'/);
await refuses(
  sdk.ValidationException,
  new sdk.PutRecordCommand({ StreamName, Data: data(0), PartitionKey: "" }),
  /greater than or equal to 1/,
);
const after = new Date(Date.now() + 3_600_000);
await refuses(
  sdk.InvalidArgumentException,
  new sdk.GetShardIteratorCommand({ StreamName, ShardId, ShardIteratorType: "AT_TIMESTAMP", Timestamp: after }),
);

// Consumers.
const { Consumer } = await call("RegisterStreamConsumer", { StreamARN, ConsumerName: "one" });
const { ConsumerARN } = Consumer;
await call("RegisterStreamConsumer", { StreamARN, ConsumerName: "two" });
await refuses(sdk.ResourceInUseException, new sdk.RegisterStreamConsumerCommand({ StreamARN, ConsumerName: "one" }));
const consumers = await all(
  sdk.paginateListStreamConsumers({ client, pageSize: 1 }, { StreamARN }),
  (page) => page.Consumers,
);
assert.deepEqual(
  consumers.map((consumer) => [consumer.ConsumerName, consumer.ConsumerStatus]),
  [
    ["one", "ACTIVE"],
    ["two", "ACTIVE"],
  ],
);
const described = await call("DescribeStreamConsumer", { ConsumerARN });
assert.deepEqual(
  [described.ConsumerDescription.ConsumerName, described.ConsumerDescription.StreamARN],
  ["one", StreamARN],
);
await call("DeregisterStreamConsumer", { StreamARN, ConsumerName: "two" });
await refuses(sdk.ResourceNotFoundException, new sdk.DescribeStreamConsumerCommand({ StreamARN, ConsumerName: "two" }));
await refuses(sdk.ResourceInUseException, new sdk.DeleteStreamCommand({ StreamName }), /EnforceConsumerDeletion/);

// A subscription across the end of its shard, to that of a child.
const subscribe = async (shard, StartingPosition) =>
  (await call("SubscribeToShard", { ConsumerARN, ShardId: shard, StartingPosition })).EventStream;
const seen = [];
let children;
for await (const { SubscribeToShardEvent: event } of await subscribe(ShardId, { Type: "TRIM_HORIZON" })) {
  seen.push(...numbers(event.Records));
  assert.ok(children === undefined || event.ChildShards?.length > 0, "the event of the children is the last");
  if (event.ChildShards?.length > 0) {
    children = event.ChildShards;
    assert.equal(event.ContinuationSequenceNumber, undefined);
    continue;
  }
  assert.match(event.ContinuationSequenceNumber, /^\d{56}$/);
  if (seen.length === 100) {
    // What is put while the subscription lasts comes, too; and then the shard ends.
    await call("PutRecord", { StreamName, Data: data(100), PartitionKey: "k" });
  } else if (seen.length === 101) {
    const NewStartingHashKey = (1n << 127n).toString();
    await call("SplitShard", { StreamName, ShardToSplit: ShardId, NewStartingHashKey });
  }
}
assert.deepEqual(seen, range(0, 101));
assert.deepEqual(
  children.map((child) => child.ParentShards),
  [[ShardId], [ShardId]],
);
assert.equal(children[1].HashKeyRange.StartingHashKey, (1n << 127n).toString());
const last = await read({ ShardIteratorType: "LATEST" });
assert.deepEqual(
  [last.NextShardIterator, last.ChildShards.map((child) => child.ShardId)],
  [undefined, children.map((child) => child.ShardId)],
);
// Nothing has come there yet: whoever goes on from its first event misses nothing.
let [child] = children;
let Continuation;
for await (const { SubscribeToShardEvent: event } of await subscribe(child.ShardId, { Type: "TRIM_HORIZON" })) {
  Continuation = event.ContinuationSequenceNumber;
  await refuses(
    sdk.ResourceInUseException,
    new sdk.SubscribeToShardCommand({ ConsumerARN, ShardId: child.ShardId, StartingPosition: { Type: "LATEST" } }),
  );
  break;
}
const low = child.HashKeyRange.StartingHashKey;
await call("PutRecord", { StreamName, Data: data(101), PartitionKey: "x", ExplicitHashKey: low });
const { ShardIterator: behind } = await call("GetShardIterator", {
  StreamName,
  ShardId: child.ShardId,
  ShardIteratorType: "AFTER_SEQUENCE_NUMBER",
  StartingSequenceNumber: Continuation,
});
assert.deepEqual(numbers((await call("GetRecords", { ShardIterator: behind })).Records), [101]);

// Shards.
const { Shards } = await call("ListShards", { StreamName });
assert.deepEqual(
  Shards.map((shard) => shard.ParentShardId),
  [undefined, ShardId, ShardId],
);
const part = await call("ListShards", { StreamARN, MaxResults: 2 });
const more = await call("ListShards", { NextToken: part.NextToken });
assert.deepEqual([...part.Shards, ...more.Shards], Shards);
const begun = await call("DescribeStream", { StreamName, Limit: 1 });
assert.deepEqual([begun.StreamDescription.Shards, begun.StreamDescription.HasMoreShards], [Shards.slice(0, 1), true]);
await refuses(
  sdk.InvalidArgumentException,
  new sdk.SplitShardCommand({ StreamName, ShardToSplit: ShardId, NewStartingHashKey: "1" }),
);
await call("MergeShards", { StreamName, ShardToMerge: Shards[1].ShardId, AdjacentShardToMerge: Shards[2].ShardId });
const counted = await call("UpdateShardCount", { StreamName, TargetShardCount: 3, ScalingType: "UNIFORM_SCALING" });
assert.deepEqual([counted.CurrentShardCount, counted.TargetShardCount], [1, 3]);
const open = await call("ListShards", { StreamName, ShardFilter: { Type: "AT_LATEST" } });
assert.equal(open.Shards.length, 3);

// The end.
await refuses(sdk.InvalidArgumentException, new sdk.DeleteStreamCommand({ StreamName: "clicks" }));
await call("DeleteStream", { StreamName, EnforceConsumerDeletion: true });
assert.equal((await sdk.waitUntilStreamNotExists(waiting, { StreamName })).state, "SUCCESS");
await refuses(
  sdk.ResourceNotFoundException,
  new sdk.SubscribeToShardCommand({ ConsumerARN, ShardId, StartingPosition: { Type: "LATEST" } }),
);
const stranger = new sdk.KinesisClient({
  endpoint: process.argv[2],
  maxAttempts: 1,
  credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wrong" },
});
await refused(stranger, "InvalidSignatureException", new sdk.ListStreamsCommand({}));
for (const each of [client, stranger]) each.destroy();
report();
