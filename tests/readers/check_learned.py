"""Compares Parquet and ORC files of learned columns with the records that were sent, through pyarrow.

A column is called after its field, with underscores for characters that readers do not take. Text in the form of
RFC 3339 has become a point in time.

usage: check_learned.py SOURCE.ndjson.gz FOLDER
"""

import collections
import datetime
import glob
import gzip
import json
import sys

import pyarrow.orc
import pyarrow.parquet

REFUSED = str.maketrans({character: "_" for character in " ,;{}()\t\n=.:`\"'/\\"})


def sent(value):
    """A value as it must be found, without fields that have none."""
    if isinstance(value, dict):
        members = {key.translate(REFUSED): sent(member) for key, member in value.items()}
        return {key: member for key, member in members.items() if member is not None}
    if isinstance(value, list):
        return [sent(element) for element in value]
    if isinstance(value, str) and value[10:11] == "T":
        try:
            return datetime.datetime.fromisoformat(value).isoformat()
        except ValueError:
            return value
    return value


def found(value):
    if isinstance(value, dict):
        members = {key: found(member) for key, member in value.items()}
        return {key: member for key, member in members.items() if member is not None}
    if isinstance(value, list):
        return [found(element) for element in value]
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.timezone.utc)
        return value.isoformat()
    return value


def counted(rows):
    return collections.Counter(json.dumps(row, sort_keys=True) for row in rows)


def main():
    source, folder = sys.argv[1:]
    with gzip.open(source, "rt") as lines:
        expected = counted(sent(json.loads(line)) for line in lines)
    readers = {
        "parquet": pyarrow.parquet.read_table,
        "orc": lambda path: pyarrow.orc.ORCFile(path).read(),
    }
    for ending, read in readers.items():
        paths = glob.glob(f"{folder}/**/*.{ending}", recursive=True)
        assert paths, f"no {ending} files in {folder}"
        rows = [found(row) for path in paths for row in read(path).to_pylist()]
        missing = expected - counted(rows)
        assert not missing and len(rows) == expected.total(), f"{ending}: {len(rows)} rows, missing {list(missing)[:1]}"
        print(f"{ending}: {len(rows)} rows equal in {len(paths)} files")
    for path in glob.glob(f"{folder}/**/*.parquet", recursive=True):
        version = pyarrow.parquet.ParquetFile(path).metadata.metadata[b"forebay.schema_version"]
        assert int(version) >= 1, path


if __name__ == "__main__":
    main()
