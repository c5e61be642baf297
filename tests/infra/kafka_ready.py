"""Waits for the broker whose process id is given: ready means that it answers, and that it is still there after that
(where another server has the port, that one answers, and ours ends)."""

import os
import sys
import time

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

DEADLINE_SECONDS = 60


def has_ended(server: int) -> bool:
    """A process that has ended and was not waited for yet still has a number."""
    try:
        os.kill(server, 0)
        with open(f"/proc/{server}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except FileNotFoundError:
        # Of a process that is gone, where there is a /proc at all.
        return os.path.isdir("/proc")
    except ProcessLookupError:
        return True


def main() -> None:
    server = int(sys.argv[1])
    deadline = time.monotonic() + DEADLINE_SECONDS
    # What the library has to say of connections that are refused is not of interest.
    admin = AdminClient({"bootstrap.servers": os.environ["FOREBAY_KAFKA"], "reconnect.backoff.max.ms": 100, "log_level": 0})
    while True:
        try:
            admin.list_topics(timeout=2)
            answers = True
        except KafkaException as problem:
            answers, why = False, problem
        if has_ended(server):
            sys.exit("the broker has ended")
        if answers:
            return
        if time.monotonic() > deadline:
            sys.exit(f"the broker was not ready after {DEADLINE_SECONDS} s: {why}")


main()
