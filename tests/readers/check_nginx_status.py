"""Compares the nested telemetry documents in Parquet and ORC files with their source, through pyarrow and DuckDB.

usage: check_nginx_status.py SOURCE.ndjson.gz LAKE   (LAKE has the folders parquet/ and orc/)
"""

import datetime
import glob
import gzip
import json
import sys

import duckdb
import pyarrow.orc
import pyarrow.parquet

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
PEER = ["id", "server", "backup", "weight", "state", "active", "requests", "downtime"]
ZONE = ["processing", "requests", "discarded", "received", "sent"]


def millis(time):
    return round((time - EPOCH) / datetime.timedelta(milliseconds=1))


def check(row, document):
    """Every declared field of a row equals the document's."""
    for name in ["version", "nginx_version", "load_timestamp", "pid"]:
        assert row[name] == document[name], name
    assert millis(row["timestamp"]) == document["timestamp"]
    assert row["connections"] == document["connections"]
    assert json.loads(row["caches"]) == document["caches"]
    zones = dict(row["server_zones"])
    assert list(zones) == list(document["server_zones"])
    for name, zone in document["server_zones"].items():
        assert {field: zones[name][field] for field in ZONE} == {field: zone[field] for field in ZONE}, name
        assert dict(zones[name]["responses"]) == zone["responses"], name
    upstreams = dict(row["upstreams"])
    assert list(upstreams) == list(document["upstreams"])
    for name, upstream in document["upstreams"].items():
        assert upstreams[name]["keepalive"] == upstream["keepalive"]
        assert len(upstreams[name]["peers"]) == len(upstream["peers"])
        for found, peer in zip(upstreams[name]["peers"], upstream["peers"]):
            assert {field: found[field] for field in PEER} == {field: peer[field] for field in PEER}, name
            assert dict(found["responses"]) == peer["responses"], name
            checks = {field: peer["health_checks"].get(field) for field in found["health_checks"]}
            assert found["health_checks"] == checks, name
            selected = found["selected"]
            assert (millis(selected) if selected is not None else None) == peer.get("selected"), name


def by_time_of(documents):
    by_time = {}
    for document in documents:
        by_time.setdefault(document["timestamp"], []).append(document)
    return by_time


def main():
    source, lake = sys.argv[1:]
    folder = f"{lake}/parquet"
    documents = [json.loads(line) for line in gzip.open(source, "rt", encoding="utf-8")]
    by_time = by_time_of(documents)

    for name, open_file in [("parquet", pyarrow.parquet.ParquetFile), ("orc", pyarrow.orc.ORCFile)]:
        rows = []
        for file in sorted(glob.glob(f"{lake}/{name}/*/*.{name}")):
            rows.extend(open_file(file).read().to_pylist())
        assert len(rows) == len(documents), f"{name}: {len(rows)} rows"
        left = by_time_of(documents)
        for row in rows:
            check(row, left[millis(row["timestamp"])].pop(0))

    query = f"""select sum(version), count(distinct timestamp), sum(connections.accepted),
        sum(len(map_keys(server_zones))), sum(len(map_values(upstreams)))
        from read_parquet('{folder}/*/*.parquet')"""
    expected = (
        sum(d["version"] for d in documents),
        len(by_time),
        sum(d["connections"]["accepted"] for d in documents),
        sum(len(d["server_zones"]) for d in documents),
        sum(len(d["upstreams"]) for d in documents),
    )
    found = duckdb.connect().execute(query).fetchone()
    assert tuple(found) == expected, f"DuckDB: {found} instead of {expected}"
    print(f"{len(documents)} documents equal in Parquet and ORC")


main()
