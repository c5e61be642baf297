"""Compares ORC files with Parquet files of the same records, through pyarrow and pyorc (both are ORC's C++ library).

usage: check_orc.py {EXPECTED.parquet FILE.orc}...
"""

import math
import random
import sys

import pyarrow as pa
import pyarrow.orc
import pyarrow.parquet
import pyorc
from pyorc.predicates import PredicateColumn
from values import canonical, same

PICKS = 12


def must(condition, *message):
    if not condition:
        sys.exit(" ".join(map(str, message)))


def equal(found, expected):
    """Whether two columns have the same values, whatever their types are called."""
    try:
        return found.cast(expected.type).combine_chunks().equals(expected.combine_chunks())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid, pa.ArrowTypeError):
        return all(same(plain(canonical(left)), plain(canonical(right))) for left, right in zip(found, expected))


def plain(value):
    """Decimals without fraction, which is what unsigned 64-bit integers are stored as, are numbers."""
    if isinstance(value, str) and value.lstrip("-").isdigit():
        return int(value)
    if isinstance(value, list):
        return [plain(element) for element in value]
    if isinstance(value, dict):
        return {key: plain(element) for key, element in value.items()}
    return value


def check_values(path, expected):
    file = pyarrow.orc.ORCFile(path)
    table = file.read()
    must(file.nrows == expected.num_rows == table.num_rows, path, file.nrows, "rows")
    must(table.column_names == expected.column_names, path, table.column_names)
    for name in expected.column_names:
        must(equal(table[name], expected[name]), path, name, "differs:", table[name], expected[name])
    must((file.writer, file.writer_version) == ("ORC_CPP", "ORC_135"), file.writer, file.writer_version)
    must(file.software_version.endswith("forebay 0.1.0"), file.software_version)
    must(table.schema.metadata[b"forebay.stream"].decode() == "größe", table.schema.metadata)
    return file


def read_everything(path, rows):
    with open(path, "rb") as file:
        everything = pyorc.Reader(file).read()
    must(len(everything) == rows, path, len(everything), "rows by pyorc")
    return everything


def check_statistics(path, expected):
    with open(path, "rb") as file:
        reader = pyorc.Reader(file)
        for number, name in enumerate(expected.column_names):
            id = reader.schema.find_column_id(name)
            values = [value for value in expected[name] if value.is_valid]
            statistics = reader[id].statistics
            must(statistics["number_of_values"] == len(values), path, name, statistics)
            must(statistics["has_null"] == (len(values) < expected.num_rows), path, name, statistics)
            # pyorc tells the statistics of a stripe only where there is a row index.
            of_stripes = [stripe[id].statistics for stripe in reader.iter_stripes()] if reader.row_index_stride else []
            must(not of_stripes or sum(part["number_of_values"] for part in of_stripes) == len(values), path, name, of_stripes)
            kind = expected[name].type
            if not values or pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_boolean(kind):
                continue
            plain_values = [value.value if pa.types.is_timestamp(kind) else value.as_py() for value in values]
            if pa.types.is_timestamp(kind):
                per_second = {"ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
                bounds = [value.timestamp() for value in (statistics["minimum"], statistics["maximum"])]
                wanted = [min(plain_values) / per_second, max(plain_values) / per_second]
                # pyorc takes the milliseconds of times before 1970 in the wrong direction.
                fits = all(abs(left - right) <= (0.002 if right >= 0 else 2) for left, right in zip(bounds, wanted))
                must(fits, path, name, bounds, wanted)
                continue
            bounds = (statistics["minimum"], statistics["maximum"])
            wanted = (min(plain_values), max(plain_values))
            must(bounds == wanted, path, name, bounds, wanted)
            if pa.types.is_integer(kind) and "sum" in statistics:
                total = sum(plain_values)
                must(statistics["sum"] == total, path, name, statistics, total)


def check_predicates(path, everything, stride):
    """A predicate leaves out nothing that it should find, and most of what it should not.

    The row groups that it picks are read from the positions of the index: here in all columns.
    """
    rows = len(everything)
    picks = random.Random(7)
    edges = {0, rows - 1, rows // 2, stride - 5, 2 * stride - 5} & set(range(rows))
    with open(path, "rb") as file:
        for low in sorted(edges) + [picks.randrange(rows) for _ in range(PICKS if rows else 0)]:
            at = PredicateColumn(pyorc.TypeKind.LONG, "id")
            found = pyorc.Reader(file, predicate=(at >= low) & (at < low + 10)).read()
            for row in found:
                must(repr(row) == repr(everything[row[0]]), path, "row", row[0], "is another one behind a jump")
            wanted = set(range(low, min(low + 10, rows)))
            must(wanted <= {row[0] for row in found}, path, "predicate loses rows from", low)
            if stride and rows > 3 * stride:
                must(len(found) <= 2 * stride, path, len(found), "rows for 10")


def check_bloom_filters(path, everything, names, stride):
    """An equality on a column in no order finds its row, and few row groups besides."""
    kinds = {"i64_all": pyorc.TypeKind.LONG, "i32_every_other": pyorc.TypeKind.INT, "text_all": pyorc.TypeKind.STRING}
    with open(path, "rb") as file:
        if not everything or 1 not in next(pyorc.Reader(file).iter_stripes()).bloom_filter_columns:
            return
        for name, kind in kinds.items():
            if name not in names:
                continue
            place = names.index(name)
            absent = {pyorc.TypeKind.STRING: "größe 5"}.get(kind, 12_345_679)
            found = pyorc.Reader(file, predicate=PredicateColumn(kind, name) == absent).read()
            must(len(found) <= 2 * stride, path, name, len(found), "rows for a value that is not there")
            for row in everything[:: len(everything) // PICKS + 1]:
                if row[place] is not None:
                    found = pyorc.Reader(file, predicate=PredicateColumn(kind, name) == row[place]).read()
                    must(row[0] in {other[0] for other in found}, path, name, "loses", row[place])


def main(*paths):
    for expected_path, path in zip(paths[::2], paths[1::2]):
        expected = pyarrow.parquet.read_table(expected_path)
        rows = expected.num_rows
        file = check_values(path, expected)
        with open(path, "rb") as opened:
            stride = pyorc.Reader(opened).row_index_stride
        everything = read_everything(path, rows)
        check_statistics(path, expected)
        check_predicates(path, everything, stride)
        check_bloom_filters(path, everything, expected.column_names, stride)
        print(f"{path}: {rows} rows of {expected.num_columns} columns in {file.nstripes} stripes, {file.compression}")


if __name__ == "__main__":
    main(*sys.argv[1:])
