"""The files that break readers. Each function writes one to `path` and gives the path back."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Sequence
from pathlib import Path

_TABLE = "id,name,amount\n" + "".join(f"{number},name {number},{number}.50\n" for number in range(1, 2001))


def truncated_gzip(path: Path, text: str = _TABLE, *, missing_bytes: int = 40) -> Path:
    """A gzip file without its last bytes; with up to 8 missing, only its checksum is."""
    path.write_bytes(gzip.compress(text.encode(), mtime=0)[:-missing_bytes])
    return path


def truncated_zstd(path: Path, text: str = _TABLE) -> Path:
    """A zstd file without its last bytes."""
    import pyarrow as pa

    packed = pa.Codec("zstd").compress(text.encode(), asbytes=True)
    path.write_bytes(packed[:-3])
    return path


def damaged_zip(path: Path, text: str = _TABLE) -> Path:
    """A zip archive whose member has a byte that was changed."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("table.csv", text)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    return path


def mixed_encoding(path: Path) -> Path:
    """UTF-8, but for the second of its three rows, which is Latin-1."""
    path.write_bytes("id,name\n1,Zoë\n".encode() + "2,André\n".encode("latin-1") + "3,Ünal\n".encode())
    return path


def in_encoding(path: Path, encoding: str, text: str = "id,name\n1,Zoë\n2,André\n") -> Path:
    """A table in an encoding that Python knows (`utf-16` with its mark)."""
    path.write_bytes(text.encode(encoding))
    return path


def with_byte_order_mark(path: Path) -> Path:
    path.write_bytes(b"\xef\xbb\xbfid,name\n1,one\n")
    return path


def with_nul_bytes(path: Path) -> Path:
    path.write_bytes(b"id,name\n1,o\x00ne\n2,two\n")
    return path


def with_huge_field(path: Path, size_bytes: int = 10_000_000) -> Path:
    """One field of `size_bytes` in quotes, with line ends in it."""
    line = "0123456789" * 10 + "\n"
    with path.open("w") as out:
        out.write('id,name\n1,"')
        out.writelines([line] * (size_bytes // len(line)))
        out.write("x" * (size_bytes % len(line)) + '"\n2,two\n')
    return path


def wide(path: Path, columns: int = 2000) -> Path:
    """`columns` columns `c0` .. and two rows of numbers."""
    names = ",".join(f"c{number}" for number in range(columns))
    rows = "".join(",".join(str(row * number) for number in range(columns)) + "\n" for row in (1, 2))
    path.write_text(f"{names}\n{rows}")
    return path


def with_duplicate_columns(path: Path) -> Path:
    """Two columns of one name, one that differs by case alone, and one without a name."""
    path.write_text("a,a,A,,b\n1,2,3,4,5\n")
    return path


def ragged(path: Path) -> Path:
    """Rows 2 and 4 are whole; row 3 lacks a field, row 5 has one too many, row 6 doesn't end its quotes."""
    path.write_text('a,b,c\n1,2,3\n4,5\n6,7,8\n9,10,11,12\n13,"14,15\n')
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def header_only(path: Path, columns: Sequence[str] = ("id", "name")) -> Path:
    path.write_text(",".join(columns) + "\n")
    return path


def malformed_ndjson(path: Path) -> Path:
    """Three good lines, a blank one, and four that are no objects."""
    path.write_text('{"id": 1, "name": "one"}\n{"id": 2,\n[3]\n\n{"id": 4, "extra": {"deep": [1, 2]}}\n"five"\n6 six\n{"id": 7, "name": null}\n')
    return path


def malformed_json(path: Path) -> Path:
    """A document that breaks off."""
    path.write_text('[{"id": 1}, {"id": 2')
    return path


def many(folder: Path, count: int) -> Path:
    """`count` files of one row each; gives a glob for them all."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"part-{number:06}.csv").write_text(f"id,name\n{number},n\n")
    return folder / "part-*.csv"
