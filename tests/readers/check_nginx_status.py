"""Compares the nested telemetry documents in a lake with their source, in every format and codec.

usage: check_nginx_status.py SOURCE.ndjson.gz LAKE   (LAKE has a folder for each delivery)
"""

import datetime
import gzip
import json
import sys

import duckdb
from lake import deliveries, files, table
from lake import lines as lines_of

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


def check_columns(lake, delivery, documents):
    by_time = {}
    for document in documents:
        by_time.setdefault(document["timestamp"], []).append(document)
    rows = []
    for file in files(lake, delivery, "." + delivery.split("_")[0]):
        rows.extend(table(file).to_pylist())
    assert len(rows) == len(documents), f"{delivery}: {len(rows)} rows"
    for row in rows:
        check(row, by_time[millis(row["timestamp"])].pop(0))


def check_in_duckdb(lake, delivery, documents):
    query = f"""select sum(version), count(distinct timestamp), sum(connections.accepted),
        sum(len(map_keys(server_zones))), sum(len(map_values(upstreams)))
        from read_parquet('{lake}/{delivery}/*/*.parquet')"""
    expected = (
        sum(d["version"] for d in documents),
        len({d["timestamp"] for d in documents}),
        sum(d["connections"]["accepted"] for d in documents),
        sum(len(d["server_zones"]) for d in documents),
        sum(len(d["upstreams"]) for d in documents),
    )
    found = duckdb.connect().execute(query).fetchone()
    assert tuple(found) == expected, f"DuckDB: {found} instead of {expected}"


def main():
    source, lake = sys.argv[1:]
    lines = gzip.open(source, "rt", encoding="utf-8").read().splitlines()
    documents = [json.loads(line) for line in lines]
    for delivery in deliveries(lake):
        if delivery.startswith("json"):
            assert sorted(lines_of(lake, delivery)) == sorted(lines), f"{delivery}: other lines than were sent"
            continue
        check_columns(lake, delivery, documents)
        if delivery.startswith("parquet"):
            check_in_duckdb(lake, delivery, documents)
    print(f"{len(documents)} documents equal in {len(deliveries(lake))} deliveries")


main()
