"""Figures as pages show them."""

import math


def significant(number: float, digits: int = 2) -> str:
    """`digits` of them, and all of those before the point."""
    if number == 0 or math.isinf(number):
        return "0" if number == 0 else "∞"
    places = max(0, digits - 1 - math.floor(math.log10(abs(number))))
    rounded = round(number, digits - 1 - math.floor(math.log10(abs(number))))
    return f"{rounded:,.{places}f}"


def rate(gb_s: float) -> str:
    if gb_s >= 1:
        return f"{significant(gb_s)} GB/s"
    return f"{significant(gb_s * 1e3)} MB/s"


def space(gb: float) -> str:
    for unit, scale in (("KB", 1e-6), ("MB", 1e-3), ("GB", 1), ("TB", 1e3), ("PB", 1e6)):
        if gb < 999.5 * scale or unit == "PB":
            return f"{gb / scale:.3g} {unit}"
    raise AssertionError("the last unit has no bound")


def seconds(time: float) -> str:
    if math.isinf(time):
        return "never"
    if time < 0.001:
        return f"{significant(time * 1e6)} µs"
    if time < 1:
        return f"{significant(time * 1e3)} ms"
    return f"{significant(time)} s" if time < 100 else f"{time:,.0f} s"


def table(rows: list[list[str]], text_columns: int = 1) -> str:
    """Markdown: the first row is the head; the first columns are text, the others figures."""
    lines = [" | ".join(row) for row in rows]
    lines.insert(1, " | ".join("---" if column < text_columns else "---:" for column in range(len(rows[0]))))
    return "".join(f"| {line} |\n" for line in lines)
