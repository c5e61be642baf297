// Splits, merges and resizes a stream while it is written and read: the reader gets each key's records once and in
// order. Arguments: the endpoint.
import assert from "node:assert/strict";
import * as sdk from "@aws-sdk/client-kinesis";
import { connect } from "./called.mjs";

const client = connect(sdk.KinesisClient, "kinesis");
const call = (operation, input) => client.send(new sdk[`${operation}Command`](input));
const StreamName = "resharded-in-javascript";
const keys = Array.from({ length: 12 }, (_, n) => `key-${n}`);

await call("CreateStream", { StreamName, ShardCount: 2 });
const { StreamARN } = (await call("DescribeStreamSummary", { StreamName })).StreamDescriptionSummary;
const { ConsumerARN } = (await call("RegisterStreamConsumer", { StreamARN, ConsumerName: "reader" })).Consumer;

// Writes until it is told to stop.
let stop = false;
let written = 0;
async function write() {
  for (let n = 0; !stop; n += 1) {
    const Records = keys.map((key) => ({ Data: Buffer.from(String(n)), PartitionKey: key }));
    assert.equal((await call("PutRecords", { StreamName, Records })).FailedRecordCount, 0);
    written = n + 1;
  }
}

// Reads each shard once its parents are read, by subscriptions that go on where the one before has ended.
const next = new Map(keys.map((key) => [key, 0]));
const done = new Set();
const begun = new Set();
const reading = [];
const isRead = () => stop && keys.every((key) => next.get(key) === written);
async function read(ShardId) {
  if (begun.has(ShardId)) return;
  begun.add(ShardId);
  const subscription = await call("SubscribeToShard", {
    ConsumerARN,
    ShardId,
    StartingPosition: { Type: "TRIM_HORIZON" },
  });
  for await (const { SubscribeToShardEvent: event } of subscription.EventStream) {
    for (const { PartitionKey, Data } of event.Records) {
      assert.equal(Number(Buffer.from(Data).toString()), next.get(PartitionKey), `${PartitionKey} in ${ShardId}`);
      next.set(PartitionKey, next.get(PartitionKey) + 1);
    }
    if (event.ChildShards?.length > 0) {
      done.add(ShardId);
      const ready = event.ChildShards.filter((child) => child.ParentShards.every((parent) => done.has(parent)));
      reading.push(...ready.map((child) => read(child.ShardId)));
    }
  }
}

const openShards = async () => (await call("ListShards", { StreamName, ShardFilter: { Type: "AT_LATEST" } })).Shards;
const more = async (rounds) => {
  const goal = written + rounds;
  while (written < goal) await new Promise((resolve) => setTimeout(resolve, 2));
};
const writing = write();
reading.push(...(await openShards()).map((shard) => read(shard.ShardId)));
await more(20);
for (let round = 0; round < 3; round += 1) {
  const [first] = await openShards();
  const [low, high] = [first.HashKeyRange.StartingHashKey, first.HashKeyRange.EndingHashKey].map(BigInt);
  const NewStartingHashKey = ((low + high) / 2n).toString();
  await call("SplitShard", { StreamName, ShardToSplit: first.ShardId, NewStartingHashKey });
  await more(10);
  const open = (await openShards()).sort((one, other) =>
    BigInt(one.HashKeyRange.StartingHashKey) < BigInt(other.HashKeyRange.StartingHashKey) ? -1 : 1,
  );
  await call("MergeShards", { StreamName, ShardToMerge: open[0].ShardId, AdjacentShardToMerge: open[1].ShardId });
  await more(10);
  await call("UpdateShardCount", { StreamName, TargetShardCount: 2 + round, ScalingType: "UNIFORM_SCALING" });
  await more(10);
}
stop = true;
await writing;
while (!isRead()) {
  await Promise.race([Promise.all(reading), new Promise((resolve) => setTimeout(resolve, 10))]);
}
const shards = (await call("ListShards", { StreamName })).Shards;
assert.ok(
  shards.length > 10 && shards.every((shard) => begun.has(shard.ShardId)),
  `${shards.length} shards, ${begun.size} read`,
);
console.log(`read ${written * keys.length} records of ${shards.length} shards`);
// Ends the subscriptions: the consumer is gone, which they are told.
const ending = Promise.allSettled(reading);
await call("DeregisterStreamConsumer", { ConsumerARN });
for (const ended of await ending) {
  if (ended.status === "rejected") assert.equal(ended.reason.name, "ResourceNotFoundException", ended.reason);
}
await call("DeleteStream", { StreamName });
client.destroy();
