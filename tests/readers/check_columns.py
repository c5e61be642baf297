"""Reads files with pyarrow and DuckDB and compares every value with what was expected.

usage: check_columns.py EXPECTED.json PARQUET...

EXPECTED.json: {"columns": [{"name", "type", "nullable"}], "rows": [[value, ...], ...]}. A value is null, a boolean,
a number, a string, a list, an object (struct) or {"map": [[key, value], ...]}. Decimals are strings, bytes are
strings of hexadecimal digits, dates are YYYY-MM-DD, and times are strings of nanoseconds since 1970.
"""

import json
import math
import re
import sys

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

NANOS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def canonical(scalar):
    """A pyarrow scalar in the form of the expected values."""
    kind = scalar.type
    if not scalar.is_valid:
        return None
    if pa.types.is_timestamp(kind):
        return str(scalar.value * NANOS[kind.unit])
    if pa.types.is_map(kind):
        return {"map": [[canonical(entry["key"]), canonical(entry["value"])] for entry in scalar.values]}
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return [canonical(element) for element in scalar.values]
    if pa.types.is_struct(kind):
        return {field.name: canonical(scalar[field.name]) for field in kind}
    if pa.types.is_decimal(kind):
        return format(scalar.as_py(), "f")
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return scalar.as_py().hex()
    if pa.types.is_date(kind):
        return scalar.as_py().isoformat()
    return scalar.as_py()


def same(found, expected):
    if isinstance(expected, float) and isinstance(found, float):
        return found == expected and math.copysign(1, found) == math.copysign(1, expected)
    if isinstance(expected, list) and isinstance(found, list):
        return len(found) == len(expected) and all(map(same, found, expected))
    if isinstance(expected, dict) and isinstance(found, dict):
        return found.keys() == expected.keys() and all(same(found[key], expected[key]) for key in expected)
    return type(found) is type(expected) and found == expected


def in_micros(value, column_type):
    """What is left of an expected value in a reader whose finest zoned time is the microsecond, cut towards 1970."""
    if value is None or not column_type.startswith("timestamp[ns"):
        return value
    nanos = int(value)
    micros = abs(nanos) // 1_000
    return str((micros if nanos >= 0 else -micros) * 1_000)


def compare(reader, table, expected, coarse):
    names = [column["name"] for column in expected["columns"]]
    if table.column_names != names:
        raise SystemExit(f"{reader}: columns {table.column_names}, expected {names}")
    if table.num_rows != len(expected["rows"]):
        raise SystemExit(f"{reader}: {table.num_rows} rows, expected {len(expected['rows'])}")
    for index, column in enumerate(expected["columns"]):
        values = table.column(index)
        truncate = coarse and getattr(values.type, "unit", None) == "us"
        for row, scalar in enumerate(values):
            wanted = expected["rows"][row][index]
            wanted = in_micros(wanted, column["type"]) if truncate else wanted
            found = canonical(scalar)
            if not same(found, wanted):
                raise SystemExit(f"{reader}: {column['name']}, row {row}: {found!r}, expected {wanted!r}")


def main(expected_path, *files):
    with open(expected_path, encoding="utf-8") as file:
        expected = json.load(file)
    for file in files:
        table = pq.read_table(file)
        for field, column in zip(table.schema, expected["columns"], strict=True):
            # pyarrow shows the names inside of a map where they are not its own: map<string, int64 ('name')>.
            shown = re.sub(r" \('[^']*'\)", "", str(field.type))
            found = (field.name, shown, field.nullable)
            wanted = (column["name"], column["type"], column["nullable"])
            if found != wanted:
                raise SystemExit(f"pyarrow: column {found}, expected {wanted}")
        compare("pyarrow", table, expected, coarse=False)
        result = duckdb.connect().execute("SELECT * FROM read_parquet(?)", [file]).to_arrow_table()
        compare("duckdb", result, expected, coarse=True)
        print(f"{file}: {table.num_rows} rows of {table.num_columns} columns are as expected")


if __name__ == "__main__":
    main(*sys.argv[1:])
