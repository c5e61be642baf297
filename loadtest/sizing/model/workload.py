"""What is asked of a fleet, and what the fleet is made of."""

from dataclasses import dataclass

GB = 1e9
DAY_SECONDS = 86_400


@dataclass(frozen=True)
class Workload:
    """Streams that are alike; sizes in bytes, times in seconds."""

    event: int = 400
    # Records of a request.
    batch: int = 100
    # memory, os or fsync: a log on the node. kafka: topics.
    log: str = "fsync"
    # gzip or parquet; none is without deliveries.
    format: str = "parquet"
    # Of each stream.
    deliveries: int = 1
    # Live ones that read everything.
    readers: int = 0
    # Of each stream; partitions of its topic.
    shards: int = 4
    streams: int = 1
    # Open ones of each task of a delivery.
    partitions: int = 1
    # Largest part of the records that comes to one shard, as a multiple of its even part.
    skew: float = 1.0
    interval: float = 60.0

    @property
    def request(self) -> int:
        """Payload of a request."""
        return self.batch * self.event

    @property
    def workers(self) -> int:
        """Tasks of one delivery of a stream, each with files and uploads of its own: one, or one a shard where nodes
        share them."""
        return self.shards if self.log == "kafka" else 1

    @property
    def all_workers(self) -> int:
        return self.streams * self.deliveries * self.workers


@dataclass(frozen=True)
class Fleet:
    """Nodes that are alike: each is edge and delivery. With the log in Kafka there are brokers beside them."""

    nodes: int = 1
    connections: int = 1_000
    brokers: int = 3
    # `[server] max_connections`; None is the default.
    connections_max: int | None = None
    # Of each node; None is what inputs.toml assumes.
    cores: int | None = None
    memory: float | None = None
