"""Checks that the Parquet files below a folder hold the numbers from 0 on, each once. Arguments: the folder, how many."""

import sys
from pathlib import Path

import pyarrow.parquet as pq

folder, count = Path(sys.argv[1]), int(sys.argv[2])
numbers = []
for path in sorted(folder.rglob("*.parquet")):
    table = pq.read_table(path, partitioning=None)
    assert all(key == f"k{n % 97}" for n, key in zip(table["n"].to_pylist(), table["key"].to_pylist())), path
    numbers += table["n"].to_pylist()
assert sorted(numbers) == list(range(count)), f"{len(numbers)} rows, {len(set(numbers))} numbers, {count} wanted"
print(f"{count} numbers")
