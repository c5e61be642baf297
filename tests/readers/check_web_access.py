"""Compares every value of the web events in a lake with their source, in every format and codec.

usage: check_web_access.py SOURCE.ndjson.gz LAKE   (LAKE has a folder for each delivery)
"""

import datetime
import gzip
import json
import sys

import duckdb
import pyarrow.dataset
from lake import deliveries, files, table
from lake import lines as lines_of

COLUMNS = ["client_ip", "timestamp", "method", "path", "protocol", "status", "bytes", "referrer", "user_agent"]


def source_rows(path):
    rows = []
    for line in gzip.open(path, "rt", encoding="utf-8"):
        record = json.loads(line)
        time = datetime.datetime.fromisoformat(record["timestamp"].replace("Z", "+00:00"))
        record["timestamp"] = time
        rows.append(tuple(record.get(name) for name in COLUMNS))
    return rows


def order(rows):
    return sorted(rows, key=lambda row: tuple((value is not None, str(value)) for value in row))


def must_be_equal(what, found, expected):
    found, expected = order(found), order(expected)
    if len(found) != len(expected):
        sys.exit(f"{what}: {len(found)} rows instead of {len(expected)}")
    for left, right in zip(found, expected):
        if left != right:
            sys.exit(f"{what}: {left} instead of {right}")


def check_columns(lake, delivery, expected):
    rows = []
    for file in files(lake, delivery, "." + delivery.split("_")[0]):
        columns = table(file).select(COLUMNS)
        folder = file.split(f"/{delivery}/")[1]
        for row in zip(*(column.to_pylist() for column in columns)):
            time = row[1].astimezone(datetime.timezone.utc)
            if not folder.startswith(time.strftime("dt=%Y-%m-%d/hour=%H/")):
                sys.exit(f"{file}: holds an event of {time}")
            rows.append((row[0], time, *row[2:]))
    must_be_equal(f"{delivery} in pyarrow", rows, expected)


def check_in_duckdb(lake, delivery, expected):
    database = duckdb.connect()
    names = ", ".join(f'epoch_us("{n}")' if n == "timestamp" else f'"{n}"' for n in COLUMNS)
    found = database.execute(f"select {names} from read_parquet('{lake}/{delivery}/*/*/*.parquet')").fetchall()
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    found = [(r[0], epoch + datetime.timedelta(microseconds=r[1]), *r[2:]) for r in found]
    must_be_equal(f"{delivery} in DuckDB", found, expected)


def main():
    source, lake = sys.argv[1:]
    expected = source_rows(source)
    lines = sorted(gzip.open(source, "rt", encoding="utf-8").read().splitlines())
    for delivery in deliveries(lake):
        if delivery.startswith("json"):
            if sorted(lines_of(lake, delivery)) != lines:
                sys.exit(f"{delivery}: lines are not those that were sent")
            continue
        check_columns(lake, delivery, expected)
        if delivery.startswith("parquet"):
            check_in_duckdb(lake, delivery, expected)

    hours = pyarrow.dataset.dataset(f"{lake}/parquet_snappy", format="parquet", partitioning="hive", exclude_invalid_files=True)
    if hours.count_rows() != len(expected):
        sys.exit(f"as a hive dataset: {hours.count_rows()} rows")
    query = f"select count(*) from read_json('{lake}/json_gzip/*/*/*.json.gz', format='newline_delimited')"
    if duckdb.connect().execute(query).fetchone()[0] != len(expected):
        sys.exit("DuckDB on JSON: another number of rows")
    print(f"{len(expected)} events equal in {len(deliveries(lake))} deliveries")


main()
