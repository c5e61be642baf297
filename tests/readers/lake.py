"""The deliveries of a lake, by their folders: JSON_CODEC, PARQUET_CODEC and ORC_CODEC in small letters."""

import glob
import json
import os

import json_lines
import pyarrow.orc
import pyarrow.parquet


def deliveries(lake):
    return sorted(name for name in os.listdir(lake) if os.path.isdir(f"{lake}/{name}"))


def files(lake, delivery, extension):
    found = glob.glob(f"{lake}/{delivery}/**/*{extension}", recursive=True)
    found = [path for path in found if "/errors/" not in path]
    assert found, f"no files of {delivery}"
    return sorted(found)


def table(path):
    """A columnar file."""
    if path.endswith(".orc"):
        return pyarrow.orc.ORCFile(path).read()
    return pyarrow.parquet.ParquetFile(path).read()


def lines(lake, delivery):
    """The records of a delivery of JSON, as they were sent."""
    extension = next(ending for ending in json_lines.UNPACK if glob.glob(f"{lake}/{delivery}/**/*{ending}", recursive=True))
    found = [line for path in files(lake, delivery, extension) for line in json_lines.lines(path, extension)]
    if delivery == "json_envelope":
        found = [line.split(',"record":', 1)[1][:-1] for line in found if json.loads(line)["sequence_number"]]
    return found
