// Kinesis Data Streams through the JavaScript SDK, which speaks HTTP/2. Arguments: the endpoint.
import assert from "node:assert/strict";
import {
  CreateStreamCommand,
  DeleteStreamCommand,
  DescribeStreamSummaryCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  KinesisClient,
  ListShardsCommand,
  ListStreamsCommand,
  PutRecordCommand,
  PutRecordsCommand,
  RegisterStreamConsumerCommand,
  SplitShardCommand,
  SubscribeToShardCommand,
} from "@aws-sdk/client-kinesis";
import { FirehoseClient, ListDeliveryStreamsCommand, PutRecordBatchCommand } from "@aws-sdk/client-firehose";

const endpoint = process.argv[2];
const client = new KinesisClient({ endpoint, maxAttempts: 1 });
const StreamName = "made-in-javascript";
const data = (n) => Buffer.from(JSON.stringify({ n }));
const numbers = (records) => records.map((record) => JSON.parse(Buffer.from(record.Data).toString()).n);

await client.send(new CreateStreamCommand({ StreamName, ShardCount: 1 }));
const names = (await client.send(new ListStreamsCommand({}))).StreamNames;
assert.ok(names.includes(StreamName), names);
const { SequenceNumber } = await client.send(new PutRecordCommand({ StreamName, Data: data(0), PartitionKey: "k" }));
assert.match(SequenceNumber, /^\d{56}$/);
const Records = Array.from({ length: 99 }, (_, n) => ({ Data: data(n + 1), PartitionKey: "k" }));
assert.equal((await client.send(new PutRecordsCommand({ StreamName, Records }))).FailedRecordCount, 0);

const ShardId = "shardId-000000000000";
const position = { StreamName, ShardId, ShardIteratorType: "AFTER_SEQUENCE_NUMBER", StartingSequenceNumber: SequenceNumber };
const { ShardIterator } = await client.send(new GetShardIteratorCommand(position));
const page = await client.send(new GetRecordsCommand({ ShardIterator }));
assert.deepEqual(numbers(page.Records), Array.from({ length: 99 }, (_, n) => n + 1));
assert.equal(page.MillisBehindLatest, 0);

const { StreamDescriptionSummary } = await client.send(new DescribeStreamSummaryCommand({ StreamName }));
const StreamARN = StreamDescriptionSummary.StreamARN;
const { Consumer } = await client.send(new RegisterStreamConsumerCommand({ StreamARN, ConsumerName: "c" }));
const subscription = await client.send(
  new SubscribeToShardCommand({ ConsumerARN: Consumer.ConsumerARN, ShardId, StartingPosition: { Type: "TRIM_HORIZON" } }),
);
const seen = [];
let children;
for await (const event of subscription.EventStream) {
  seen.push(...numbers(event.SubscribeToShardEvent.Records));
  if (seen.length === 100) {
    // What is put while the subscription lasts comes, too; and then the shard ends.
    await client.send(new PutRecordCommand({ StreamName, Data: data(100), PartitionKey: "k" }));
  }
  if (seen.length === 101 && children === undefined) {
    children = [];
    const NewStartingHashKey = (1n << 127n).toString();
    await client.send(new SplitShardCommand({ StreamName, ShardToSplit: ShardId, NewStartingHashKey }));
  }
  children = event.SubscribeToShardEvent.ChildShards ?? children;
  if (children?.length === 2) break;
}
assert.deepEqual(seen, Array.from({ length: 101 }, (_, n) => n));
assert.deepEqual(children.map((child) => child.ParentShards), [[ShardId], [ShardId]]);
assert.equal((await client.send(new ListShardsCommand({ StreamName }))).Shards.length, 3);
await client.send(new DeleteStreamCommand({ StreamName, EnforceConsumerDeletion: true }));
await assert.rejects(client.send(new DescribeStreamSummaryCommand({ StreamName })), { name: "ResourceNotFoundException" });

const firehose = new FirehoseClient({ endpoint, maxAttempts: 1 });
assert.ok((await firehose.send(new ListDeliveryStreamsCommand({}))).DeliveryStreamNames.includes("clicks"));
const batch = { DeliveryStreamName: "clicks", Records: [{ Data: data(1) }, { Data: data(2) }] };
assert.equal((await firehose.send(new PutRecordBatchCommand(batch))).FailedPutCount, 0);

const stranger = new KinesisClient({ endpoint, maxAttempts: 1, credentials: { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wrong" } });
await assert.rejects(stranger.send(new ListStreamsCommand({})), { name: "InvalidSignatureException" });
for (const each of [client, firehose, stranger]) each.destroy();
console.log("ok");
