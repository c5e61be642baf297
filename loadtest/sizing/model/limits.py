"""Bounds of the program by their names, read where they are named: `src/config/limits/`."""

import functools
import pathlib
import re

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "src/config/limits"
DURATION = re.compile(r"Duration::from_(secs|millis)\((.+)\)")


@functools.cache
def constants() -> dict[str, str]:
    found = {}
    for file in sorted(FOLDER.glob("*.rs")):
        found |= re.findall(r"pub const (\w+): [\w:]+ = ([^;]+);", file.read_text())
    return found


def limit(name: str) -> float:
    """A number, or seconds of a duration. KeyError if nothing has this name, ValueError if it is no such thing."""
    text = constants()[name]
    scale = 1.0
    if found := DURATION.fullmatch(text):
        scale, text = (1.0 if found[1] == "secs" else 0.001), found[2]
    if re.fullmatch(r"[A-Z_]+", text):
        return limit(text)
    if not re.fullmatch(r"[\d_\s*+<()]+", text):
        raise ValueError(f"{name} is {text}, which is not a sum of numbers")
    # Digits and operators alone, as it has just been looked at.
    return scale * eval(text)  # noqa: S307
