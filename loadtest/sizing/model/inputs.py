"""Figures that the model takes from outside: `inputs.toml`, and the costs that follow from `whole_way.csv`."""

import functools
import pathlib
import tomllib
from dataclasses import dataclass

FILE = pathlib.Path(__file__).resolve().parents[1] / "inputs.toml"
KINDS = ("measured", "published", "assumed", "judging")


@dataclass(frozen=True)
class Input:
    """One figure. `source` is the command that measures it, who publishes it, or why it is assumed. Those that are
    `judging` are no part of the model."""

    kind: str
    name: str
    value: float
    of: str
    source: str


@functools.cache
def inputs() -> dict[str, Input]:
    text = tomllib.loads(FILE.read_text())
    if unknown := set(text) - set(KINDS):
        raise ValueError(f"inputs.toml: {unknown} is none of {KINDS}")
    found = {}
    for kind in KINDS:
        for name, row in text[kind].items():
            if name in found:
                raise ValueError(f"inputs.toml: {name} is there twice")
            found[name] = Input(kind, name, float(row["value"]), row["of"], row["source"])
    return found


def value(name: str) -> float:
    """KeyError if there is no such figure."""
    return inputs()[name].value
