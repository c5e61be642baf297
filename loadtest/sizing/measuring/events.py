"""Events of a wanted size: real web events, cut and lengthened in their texts, so that one schema fits all of them."""

import gzip
import itertools
import json
import pathlib

# What the load generator adds to each event: producer, sequence, hash.
ENVELOPE = 85
EVENTS = 10_000


def of_size(source: pathlib.Path, size: int, target: pathlib.Path) -> None:
    """Writes events of `size` bytes or so in the mean, envelope included; 0 leaves them as they are."""
    read = gzip.open if source.suffix == ".gz" else open
    with read(source, "rt") as lines:
        events = [json.loads(line) for line in itertools.islice(lines, EVENTS)]
    texts = [event.get("user_agent") or "-" for event in events]
    with target.open("w") as out:
        for place, event in enumerate(events):
            if size:
                fit(event, size - ENVELOPE, itertools.cycle(texts[place:] + texts[:place]))
            out.write(json.dumps(event, separators=(",", ":")) + "\n")


def fit(event: dict, size: int, texts: itertools.cycle) -> None:
    """Cuts texts down from the least important one on, or fills the last two up with others' user agents."""
    over = len(json.dumps(event, separators=(",", ":"))) - size
    for name in ("user_agent", "referrer", "path"):
        text = event.get(name) or ""
        if over > 0:
            event[name] = text[: max(1, len(text) - over)]
            over -= len(text) - len(event[name])
    for name in ("user_agent", "referrer"):
        # Of 2,048 characters that the schema allows.
        room = min(-over, 2_000 - len(event.get(name) or ""))
        if room > 0:
            more = ""
            while len(more) < room:
                more += next(texts)
            event[name] = (event.get(name) or "") + more[:room]
            over += room
