"""What Parquet files have beside their values: metadata, statistics, page index, order, bloom filters."""

import json

import duckdb
import pyarrow.parquet as pq

FILTERED = {"text", "tags.list.element", "attrs.key_value.key"}


def check_layout(path, delivery, rows):
    file = pq.ParquetFile(path)
    check_metadata(path, file, delivery, rows)
    check_statistics(path, file.metadata)
    filters = bloom_filters(path)
    if delivery == "parquet_layout":
        check_order(path, file)
        check_filters(path, filters)
    else:
        assert not filters, f"{path}: bloom filters of {filters}"
        assert not file.metadata.row_group(0).sorting_columns, f"{path}: an order"


def check_metadata(path, file, delivery, rows):
    text = {key.decode(): value.decode() for key, value in file.metadata.metadata.items()}
    assert text["forebay.stream"] == "types" and text["forebay.delivery"] == delivery, text
    assert text["forebay.writer"].startswith("forebay "), text
    assert file.metadata.created_by.startswith("forebay version "), file.metadata.created_by
    ranges = json.loads(text["forebay.ranges"])
    assert sum(part["records"] for part in ranges) == rows == file.metadata.num_rows, f"{path}: {ranges}"
    for part in ranges:
        assert part["shard"] == "shardId-000000000000" and int(part["first"]) <= int(part["last"]), ranges


def check_statistics(path, metadata):
    """Every column has a page index, and bounds if it has values."""
    for group in range(metadata.num_row_groups):
        for index in range(metadata.num_columns):
            chunk = metadata.row_group(group).column(index)
            place = f"{path}: {chunk.path_in_schema}"
            assert chunk.has_offset_index and chunk.has_column_index, f"{place} has no page index"
            assert chunk.is_stats_set and chunk.statistics.has_null_count, f"{place} has no statistics"
            if chunk.path_in_schema == "id":
                statistics = chunk.statistics
                assert statistics.has_min_max and statistics.null_count == 0, f"{place}: {statistics}"
                assert statistics.max - statistics.min >= metadata.row_group(group).num_rows - 1, place


def check_order(path, file):
    for group in range(file.metadata.num_row_groups):
        sorting = [(by.column_index, by.descending, by.nulls_first) for by in file.metadata.row_group(group).sorting_columns]
        places = {file.metadata.row_group(group).column(index).path_in_schema: index for index in range(file.metadata.num_columns)}
        assert sorting == [(places["text"], True, False), (places["i16"], False, False)], f"{path}: {sorting}"
        table = file.read_row_group(group, columns=["text", "i16", "id"]).to_pylist()
        keys = [key(row) for row in table]
        assert keys == sorted(keys), f"{path}: rows are in another order"


def key(row):
    """Texts from the last to the first, numbers from the least; what has no value comes last."""
    text, number = row["text"], row["i16"]
    reverse = [-byte for byte in text.encode()] + [1] if text is not None else []
    return (text is None, reverse, number is None, number or 0, row["id"])


def bloom_filters(path):
    query = "SELECT path_in_schema FROM parquet_metadata(?) WHERE bloom_filter_offset IS NOT NULL"
    return {name.replace(", ", ".") for (name,) in duckdb.connect().execute(query, [path]).fetchall()}


def check_filters(path, found):
    assert found == FILTERED, f"{path}: bloom filters of {found}"
    texts = {text for text in pq.read_table(path, columns=["text"], partitioning=None)["text"].to_pylist() if text}
    probe = "SELECT bool_and(bloom_filter_excludes) FROM parquet_bloom_probe(?, 'text', ?)"
    for text in texts:
        excluded = duckdb.connect().execute(probe, [path, text]).fetchone()[0]
        assert not excluded, f"{path}: the filter does not know {text!r}"
    unknown = [duckdb.connect().execute(probe, [path, f"unknown {n}"]).fetchone()[0] for n in range(20)]
    assert sum(unknown) >= 15, f"{path}: the filter takes {20 - sum(unknown)} of 20 unknown texts for known ones"
