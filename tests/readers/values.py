"""Values of Arrow tables in a form that JSON has, and whether they are those that were expected.

A value is null, a boolean, a number, a string, a list, an object (struct) or {"map": [[key, value], ...]}. Decimals are
strings, bytes are strings of hexadecimal digits, dates are YYYY-MM-DD, and times are strings of nanoseconds since 1970.
"""

import math

import pyarrow as pa

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
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind):
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


def in_micros(nanos):
    """What is left of a time in a reader whose finest zoned time is the microsecond, cut towards 1970."""
    micros = abs(int(nanos)) // 1_000
    return str((micros if int(nanos) >= 0 else -micros) * 1_000)
