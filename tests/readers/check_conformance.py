"""Compares every value of a lake, in every format and codec, with what was sent.

usage: check_conformance.py EXPECTED.json LAKE

EXPECTED.json: {"columns": [{"name", "type", "nullable"}], "deliveries": [{"name", "format", "extension"}],
"patterns": {name: {"lines": [text, ...], "rows": [[value, ...], ...]}}}; values are as values.py describes them. A
delivery has a file for each pattern, at LAKE/DELIVERY/pattern=NAME/.
"""

import glob
import json
import re
import sys

import duckdb
import json_lines
import polars
import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet as pq
from layout import check_layout
from values import canonical, in_micros, same

CODECS = {"none": "UNCOMPRESSED", "snappy": "SNAPPY", "zstd": "ZSTD", "gzip": "GZIP", "lz4": "LZ4"}
ENVELOPE = re.compile(
    r'\{"arrival_time":"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z","partition_key":"(\w+)",'
    r'"shard":"shardId-000000000000","sequence_number":"(\d+)","record":(.*)\}'
)


def the_file(lake, delivery, pattern):
    found = glob.glob(f"{lake}/{delivery['name']}/pattern={pattern}/*{delivery['extension']}")
    assert len(found) == 1, f"{delivery['name']}, {pattern}: {found} instead of one file"
    return found[0]


def check_types(table, columns):
    for field, column in zip(table.schema, columns, strict=True):
        # pyarrow shows the names inside of a map where they are not its own: map<string, int64 ('name')>.
        shown = re.sub(r" \('[^']*'\)", "", str(field.type))
        found = (field.name, shown, field.nullable)
        wanted = (column["name"], column["type"], column["nullable"])
        assert found == wanted, f"pyarrow: column {found}, expected {wanted}"


class Reader:
    """Compares tables value by value, once for each content: what is equal to a table that was right is right."""

    def __init__(self, name, expect=lambda value, column_type, arrow_type: value):
        self.name, self.expect, self.right = name, expect, {}

    def compare(self, table, pattern, columns, rows):
        table = table.sort_by("id")
        if pattern in self.right and table.equals(self.right[pattern]):
            return
        names = [column["name"] for column in columns]
        assert table.column_names == names, f"{self.name}: columns {table.column_names}, expected {names}"
        assert table.num_rows == len(rows), f"{self.name}: {table.num_rows} rows, expected {len(rows)}"
        for index, column in enumerate(columns):
            values = table.column(index)
            for row, scalar in enumerate(values):
                wanted = self.expect(rows[row][index], column["type"], values.type)
                found = canonical(scalar)
                if not same(found, wanted):
                    place = f"{self.name}: {pattern}, {column['name']}, row {row}"
                    sys.exit(f"{place}: {found!r}, expected {wanted!r}")
        self.right[pattern] = table


def in_duckdb(value, column_type, arrow_type):
    is_cut = column_type.startswith("timestamp[ns") and getattr(arrow_type, "unit", None) == "us"
    return in_micros(value) if is_cut and value is not None else value


def in_orc(value, column_type, arrow_type):
    """Unsigned 64 bits are a decimal in ORC."""
    return str(value) if column_type == "uint64" and value is not None else value


PYARROW, ORC = Reader("pyarrow"), Reader("pyarrow.orc", in_orc)
DUCKDB, POLARS = Reader("duckdb", in_duckdb), Reader("polars")


def check_parquet(path, pattern, delivery, columns, rows):
    codec = CODECS.get(delivery["name"].removeprefix("parquet_"))
    metadata = pq.ParquetFile(path).metadata
    found = {metadata.row_group(0).column(index).compression for index in range(metadata.num_columns)}
    assert codec is None or found == {codec}, f"{path}: {found} instead of {codec}"
    table = pq.ParquetFile(path).read()
    check_types(table, columns)
    PYARROW.compare(table, pattern, columns, rows)
    DUCKDB.compare(
        duckdb.connect().execute("SELECT * FROM read_parquet(?, hive_partitioning=false)", [path]).to_arrow_table(), pattern, columns, rows
    )
    POLARS.compare(polars.read_parquet(path, hive_partitioning=False).to_arrow(), pattern, columns, rows)
    check_layout(path, delivery["name"], len(rows))


def check_orc(path, pattern, delivery, columns, rows):
    file = pyarrow.orc.ORCFile(path)
    codec = delivery["name"].removeprefix("orc_").upper()
    expected = {"NONE": "UNCOMPRESSED"}.get(codec, codec)
    assert codec not in ("NONE", "SNAPPY", "ZLIB", "ZSTD", "LZ4") or file.compression == expected, file.compression
    # pyarrow has times in nanoseconds only, and refuses columns that have others.
    told = [index for index, column in enumerate(columns) if all(is_in_nanos(row[index], column["type"]) for row in rows)]
    columns, rows = [columns[index] for index in told], [[row[index] for index in told] for row in rows]
    ORC.compare(file.read(columns=[column["name"] for column in columns]), pattern, columns, rows)


def is_in_nanos(value, column_type):
    return not column_type.startswith("timestamp") or value is None or -(2**63) <= int(value) < 2**63


def check_json(path, pattern, delivery, lines):
    found = json_lines.lines(path, delivery["extension"])
    if delivery["name"] == "json_envelope":
        envelopes = [ENVELOPE.fullmatch(line) for line in found]
        assert all(envelopes), f"{path}: {found[envelopes.index(None)]} is no envelope"
        assert {envelope[1] for envelope in envelopes} == {pattern}, "partition keys"
        numbers = [int(envelope[2]) for envelope in envelopes]
        assert numbers == sorted(set(numbers)), f"{path}: sequence numbers are not in order"
        found = [envelope[3] for envelope in envelopes]
    assert found == lines, f"{path}: lines are not those that were sent"
    readable = {".json": "uncompressed", ".json.gz": "gzip", ".json.zst": "zstd"}
    if codec := readable.get(delivery["extension"]):
        query = f"SELECT count(*) FROM read_json(?, format='newline_delimited', compression='{codec}', columns={{'id': 'JSON'}})"
        count = duckdb.connect().execute(query, [path]).fetchone()[0]
        assert count == len(lines), f"DuckDB: {path} has {count} rows"


def main(expected_path, lake):
    with open(expected_path, encoding="utf-8") as file:
        expected = json.load(file)
    columns = expected["columns"]
    for delivery in expected["deliveries"]:
        for pattern, sent in expected["patterns"].items():
            if delivery["format"] == "orc" and pattern == "last_second":
                # All of its records are dead letters there.
                continue
            path = the_file(lake, delivery, pattern)
            if delivery["format"] == "json":
                check_json(path, pattern, delivery, sent["lines"])
            else:
                check = check_orc if delivery["format"] == "orc" else check_parquet
                check(path, pattern, delivery, columns, sent["rows"])
        print(f"{delivery['name']}: {len(expected['patterns'])} files")
    print(f"{len(expected['deliveries'])} deliveries are as expected")


if __name__ == "__main__":
    main(*sys.argv[1:])
