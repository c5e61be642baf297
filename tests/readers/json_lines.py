"""Files of JSON lines in every codec, unpacked without any code of ours."""

import gzip
import io

import pyarrow as pa


def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC32C = crc32c_table()


def masked_crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC32C[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(data):
    """The number that raw Snappy begins with: the length of the text."""
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value
        shift += 7
    raise SystemExit("snappy: a block without its length")


def raw_snappy(data):
    return pa.decompress(data, decompressed_size=varint(data), codec="snappy", asbytes=True)


def framed_snappy(data):
    """https://github.com/google/snappy/blob/main/framing_format.txt"""
    assert data[:10] == b"\xff\x06\x00\x00sNaPpY", "snappy: no stream identifier"
    text, at = [], 10
    while at < len(data):
        kind, length = data[at], int.from_bytes(data[at + 1 : at + 4], "little")
        body = data[at + 4 : at + 4 + length]
        assert len(body) == length, "snappy: a chunk is cut"
        at += 4 + length
        assert kind in (0, 1), f"snappy: a chunk of type {kind}"
        piece = raw_snappy(body[4:]) if kind == 0 else body[4:]
        assert len(piece) <= 65536, "snappy: more than 64 KiB in a chunk"
        assert masked_crc32c(piece) == int.from_bytes(body[:4], "little"), "snappy: wrong checksum"
        text.append(piece)
    return b"".join(text)


def hadoop_snappy(data):
    """As org.apache.hadoop.io.compress.BlockDecompressorStream reads it."""
    text, at = [], 0
    while at < len(data):
        missing = int.from_bytes(data[at : at + 4], "big")
        at += 4
        while missing > 0:
            length = int.from_bytes(data[at : at + 4], "big")
            piece = raw_snappy(data[at + 4 : at + 4 + length])
            at += 4 + length
            assert len(piece) <= 256 << 10, "hadoop_snappy: more than its readers have room for"
            missing -= len(piece)
            text.append(piece)
        assert missing == 0, "hadoop_snappy: a block has more than it says"
    return b"".join(text)


def zstd(data):
    return pa.CompressedInputStream(pa.BufferReader(data), "zstd").read()


UNPACK = {
    ".json": bytes,
    ".json.gz": lambda data: gzip.GzipFile(fileobj=io.BytesIO(data)).read(),
    ".json.zst": zstd,
    ".json.sz": framed_snappy,
    ".json.snappy": hadoop_snappy,
}


def lines(path, extension):
    """The lines of a file, each of which must end with a line break."""
    with open(path, "rb") as file:
        text = UNPACK[extension](file.read()).decode()
    assert text.endswith("\n"), f"{path}: the last line has no end"
    return text[:-1].split("\n")
