"""Compares the size of ORC files with what pyarrow's own writer makes of the same table and compression.

usage: check_orc_size.py FILE.orc...
"""

import os
import sys

import pyarrow.orc

RATIO_MAX = 1.15


def main(*paths):
    too_large = False
    for path in paths:
        file = pyarrow.orc.ORCFile(path)
        pyarrow.orc.write_table(file.read(), path + ".pyarrow", compression=file.compression)
        ours, theirs = os.path.getsize(path), os.path.getsize(path + ".pyarrow")
        too_large |= ours > RATIO_MAX * theirs
        print(f"{os.path.basename(path)}: {ours} bytes, {ours / theirs:.3f} times those of pyarrow")
    if too_large:
        sys.exit(f"more than {RATIO_MAX} times")


if __name__ == "__main__":
    main(*sys.argv[1:])
