"""Keeps docs/security.md honest: each test that it names is there. Prints every name that is not, and exits 1 then."""

import re
import sys
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
DOC = REPO / "docs/security.md"
SOURCES = [REPO / "src", REPO / "tests"]

# Tests are sentences. Settings and metrics have fewer words.
TEST = re.compile(r"`([a-z0-9]+(?:_[a-z0-9]+){4,})`")
FUNCTION = re.compile(r"\bfn ([a-z0-9_]+)\(")


def functions() -> set[str]:
    """The names of all functions."""
    files = (file for folder in SOURCES for file in folder.rglob("*.rs"))
    return {name for file in files for name in FUNCTION.findall(file.read_text())}


def main() -> int:
    named = set(TEST.findall(DOC.read_text()))
    missing = sorted(named - functions())
    for name in missing:
        print(f"{DOC.relative_to(REPO)}: there is no test {name}")
    if not named:
        print(f"{DOC.relative_to(REPO)}: no test is named")
    return 1 if missing or not named else 0


if __name__ == "__main__":
    sys.exit(main())
