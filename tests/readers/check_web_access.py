"""Compares every value of the web events in a lake with their source, through pyarrow and DuckDB.

usage: check_web_access.py SOURCE.ndjson.gz LAKE   (LAKE has the folders parquet/, orc/ and json/)
"""

import datetime
import glob
import gzip
import json
import sys

import duckdb
import pyarrow.dataset
import pyarrow.orc
import pyarrow.parquet

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


def main():
    source, lake = sys.argv[1:]
    expected = source_rows(source)

    files = glob.glob(f"{lake}/parquet/dt=*/hour=*/*.parquet")
    rows = []
    for file in files:
        table = pyarrow.parquet.ParquetFile(file).read(columns=COLUMNS)
        folder = file.split("/parquet/")[1]
        for row in zip(*(table.column(name).to_pylist() for name in COLUMNS)):
            time = row[1].astimezone(datetime.timezone.utc)
            if not folder.startswith(time.strftime("dt=%Y-%m-%d/hour=%H/")):
                sys.exit(f"{file}: holds an event of {time}")
            rows.append((row[0], time, *row[2:]))
    must_be_equal("pyarrow", rows, expected)

    rows = []
    for file in glob.glob(f"{lake}/orc/dt=*/*.orc"):
        table = pyarrow.orc.ORCFile(file).read(columns=COLUMNS)
        for row in zip(*(table.column(name).to_pylist() for name in COLUMNS)):
            rows.append((row[0], row[1].astimezone(datetime.timezone.utc), *row[2:]))
    must_be_equal("pyarrow on ORC", rows, expected)

    hours = pyarrow.dataset.dataset(f"{lake}/parquet", format="parquet", partitioning="hive", exclude_invalid_files=True)
    if hours.count_rows() != len(expected):
        sys.exit(f"as a hive dataset: {hours.count_rows()} rows")

    database = duckdb.connect()
    database.execute("set timezone = 'UTC'")
    names = ", ".join(f'epoch_us("{n}")' if n == "timestamp" else f'"{n}"' for n in COLUMNS)
    found = database.execute(f"select {names} from read_parquet('{lake}/parquet/*/*/*.parquet')").fetchall()
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
    found = [(r[0], epoch + datetime.timedelta(microseconds=r[1]), *r[2:]) for r in found]
    must_be_equal("DuckDB on Parquet", found, expected)

    count = database.execute(f"select count(*) from read_json('{lake}/json/*/*.json.gz', format='newline_delimited')").fetchone()
    if count[0] != len(expected):
        sys.exit(f"DuckDB on JSON: {count[0]} rows")
    print(f"{len(expected)} rows equal in pyarrow, DuckDB, ORC and JSON, {len(files)} Parquet files")


main()
