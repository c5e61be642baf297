"""What the disk of the log takes: one thread writes blocks over old bytes and waits for each."""

import mmap
import os
import statistics
import tempfile
import time

BLOCKS = (4 << 10, 64 << 10, 1 << 20)
FILE_BYTES = 64 << 20
SECONDS = 4.0


def sync_times(block: int) -> list[float]:
    """Seconds of each write, direct and synchronous, as the writers of the log do it."""
    data = mmap.mmap(-1, block)
    data.write(os.urandom(block))
    times = []
    with tempfile.NamedTemporaryFile(dir=".") as file:
        os.posix_fallocate(file.fileno(), 0, FILE_BYTES)
        for _ in range(FILE_BYTES >> 20):
            file.write(bytes(1 << 20))
        file.flush()
        os.fsync(file.fileno())
        direct = os.open(file.name, os.O_WRONLY | os.O_DIRECT | os.O_DSYNC)
        began = time.monotonic()
        while (now := time.monotonic()) - began < SECONDS:
            os.pwrite(direct, data, len(times) * block % FILE_BYTES)
            times.append(time.monotonic() - now)
        os.close(direct)
    return times


def run(_port: int) -> None:
    for block in BLOCKS:
        times = sorted(sync_times(block))
        print(f"sync_{block >> 10}k_us = {statistics.median(times) * 1e6:.0f}"
              f"  # p99 {times[len(times) * 99 // 100] * 1e6:.0f}, {block * len(times) / sum(times) / 1e6:.0f} MB/s")
