"""Tables and plots of the pages: what they are, what they should be, and how they become that."""

import functools
import pathlib
import re
from collections.abc import Callable

from drawn import box_tables, plots, scaling_tables
from drawn.text import table

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs"
TABLES: dict[str, dict[str, tuple[Callable[[], list[list[str]]], int]]] = {
    # By page and name: how it is made, and how many of its columns are text.
    "sizing.md": {
        "costs": (box_tables.cost_table, 2),
        "one box": (box_tables.one_box, 1),
        "fleet": (box_tables.fleet, 1),
        "brokers": (box_tables.brokers, 1),
    },
    "scaling.md": {
        "example": (scaling_tables.example, 1),
        "cpu": (scaling_tables.cpu_costs, 1),
        "producing": (scaling_tables.producing, 1),
        "others": (scaling_tables.others, 2),
        "by size": (scaling_tables.by_size, 1),
        "by axis": (scaling_tables.by_axis, 1),
        "single events": (scaling_tables.sweep_singles, 1),
        "batches": (scaling_tables.sweep_batches, 1),
        "streams": (scaling_tables.by_streams, 1),
        "partitions": (scaling_tables.by_partitions, 1),
        "storms": (scaling_tables.storms, 1),
        "remedies": (scaling_tables.remedies, 2),
        "held out": (scaling_tables.held_out, 2),
        "used": (scaling_tables.used, 2),
        "acks": (scaling_tables.judged_acks, 1),
        "runs": (scaling_tables.runs, 2),
        "measured": (lambda: scaling_tables.given("measured"), 1),
        "published": (lambda: scaling_tables.given("published"), 1),
        "assumed": (lambda: scaling_tables.given("assumed"), 1),
    },
}


class PageError(Exception):
    """A page has no place for a table, or several."""


@functools.cache
def made(page: str, name: str) -> str:
    """A table as it should be."""
    rows, text_columns = TABLES[page][name]
    return table(rows(), text_columns)


def renewed(page: str, text: str) -> str:
    """The page with its tables as they should be."""
    for name in TABLES[page]:
        place = re.compile(rf"(<!-- table: {name} -->\n)((?:\|.*\n)*)")
        text, count = place.subn(lambda found, name=name: found[1] + made(page, name), text)
        if count != 1:
            raise PageError(f"docs/{page}: {count} places for the table {name}")
    return text


def right() -> dict[pathlib.Path, str]:
    """All files as they should be."""
    found = {DOCS / page: renewed(page, (DOCS / page).read_text()) for page in TABLES}
    return found | {DOCS / name: draw() for name, draw in plots.PLOTS.items()}


def differences(name: str, was: str, now: str) -> list[str]:
    """Lines that differ, with what they should be."""
    if was == now:
        return []
    if name.endswith(".svg"):
        return [f"docs/{name}: is another picture"]
    pairs = zip(was.splitlines(), now.splitlines(), strict=False)
    found = [f"docs/{name}: {old}\n     should be: {new}" for old, new in pairs if old != new]
    return found or [f"docs/{name}: {len(was.splitlines())} lines instead of {len(now.splitlines())}"]


def check() -> int:
    found = []
    for path, now in right().items():
        found += differences(path.name, path.read_text() if path.exists() else "", now)
    print("\n".join([*found, "python3 loadtest/sizing write makes it so"] if found else ["in step"]))
    return bool(found)


def write() -> int:
    for path, now in right().items():
        path.write_text(now)
    return 0
