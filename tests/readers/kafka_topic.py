"""Prints the messages of a topic, each as a line of JSON, sorted by partition and offset.

kafka_topic.py SERVERS TOPIC read_committed|read_uncommitted

Reads each partition from its begin to the end that it has then (of committed messages: to the last stable offset). Keys,
values and values of headers are base64, or null.
"""

import base64
import json
import sys
import time

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, TopicPartition

DEADLINE_SECONDS = 120


def coded(content):
    return None if content is None else base64.b64encode(content).decode()


def line(message):
    kind, milliseconds = message.timestamp()
    return {
        "partition": message.partition(),
        "offset": message.offset(),
        "key": coded(message.key()),
        "value": coded(message.value()),
        "headers": [[name, coded(value)] for name, value in message.headers() or []],
        # 1: of the producer; 2: of the broker.
        "timestamp_kind": kind,
        "timestamp_ms": milliseconds,
    }


def partitions_of(consumer, topic):
    known = consumer.list_topics(topic, timeout=30).topics[topic]
    if known.error is not None:
        raise KafkaException(known.error)
    if not known.partitions:
        sys.exit(f"'{topic}' has no partitions")
    return [TopicPartition(topic, number, OFFSET_BEGINNING) for number in known.partitions]


def messages(consumer, topic):
    partitions = partitions_of(consumer, topic)
    consumer.assign(partitions)
    unread = {partition.partition for partition in partitions}
    deadline = time.monotonic() + DEADLINE_SECONDS
    found = []
    while unread:
        if time.monotonic() > deadline:
            sys.exit(f"no end of partitions {sorted(unread)} of '{topic}' after {DEADLINE_SECONDS} s; {len(found)} messages")
        for message in consumer.consume(num_messages=10_000, timeout=0.2):
            error = message.error()
            if error is None:
                found.append(line(message))
            elif error.code() == KafkaError._PARTITION_EOF:
                unread.discard(message.partition())
            else:
                raise KafkaException(error)
    return sorted(found, key=lambda message: (message["partition"], message["offset"]))


def main():
    servers, topic, isolation = sys.argv[1:]
    consumer = Consumer(
        {
            "bootstrap.servers": servers,
            "group.id": f"reader-of-{topic}",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "isolation.level": isolation,
            "reconnect.backoff.max.ms": 200,
            # The broker of the tests gives all that it has at once, however little is asked for.
            "receive.message.max.bytes": 2_000_000_000,
        }
    )
    try:
        for message in messages(consumer, topic):
            print(json.dumps(message, separators=(",", ":")))
    finally:
        consumer.close()


main()
