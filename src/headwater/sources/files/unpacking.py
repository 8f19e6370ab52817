"""From a file as it lies there to one the engine can read: fetched, unpacked, proved whole, in UTF-8."""

from __future__ import annotations

import codecs
import gzip
import itertools
import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, cast

from headwater.errors import SourceDataInvalid, SourceReadFailed, StorageFull
from headwater.sources.files.listing import FoundFile, is_web, without_query
from headwater.spec.names import quote_literal

_CHUNK_BYTES = 1 << 20
#: Encodings the engine reads itself; others are rewritten as UTF-8 first.
ENGINE_ENCODINGS = {"utf-8": "utf-8", "utf-16": "utf-16", "iso8859-1": "latin-1"}
_UTF8 = frozenset({"utf-8", "utf-8-sig", "ascii"})
_PACKED = {".gz": "gzip", ".gzip": "gzip", ".zst": "zstd", ".zstd": "zstd", ".zip": "zip"}


@dataclass(frozen=True, slots=True)
class ReadableFile:
    """`address` is what the engine opens, unpacked where needed; `key` the file it belongs to; `label` also names the member of an archive.

    `stamp` is what the file looked like when it was found; None where it is a copy of ours.
    """

    key: str
    label: str
    address: str
    compression: str
    encoding: str = "utf-8"
    stamp: Mapping[str, Any] | None = None

    @property
    def is_remote(self) -> bool:
        return "://" in self.address


def packing_of(name: str) -> str:
    """`gzip`, `zstd`, `zip` or `none`, from the end of a name."""
    return _PACKED.get(Path(name.split("?", 1)[0].lower()).suffix, "none")


def without_packing(name: str) -> str:
    """The name less its query and the ending of its packing: `a.csv.gz` is `a.csv`."""
    bare = name.split("?", 1)[0]
    ending = Path(bare).suffix
    return bare.removesuffix(ending) if ending.lower() in _PACKED else bare


class Unpacker:
    """Makes files readable; what it writes goes to `folder`, which the owner removes."""

    def __init__(self, folder: Callable[[], Path], fetch_s3: Callable[[str, Path], None]) -> None:
        self._folder = folder
        self._fetch_s3 = fetch_s3
        self._numbers = itertools.count(1)

    def prepare(self, file: FoundFile, *, encoding: str | None, compression: str | None = None, is_text: bool = True) -> list[ReadableFile]:
        """The readable files of one: itself, or the members of an archive. Raises SourceDataInvalid for one that is cut off or damaged."""
        packing = compression or packing_of(file.key)
        address = file.address
        is_recoded = is_text and encoding is not None and _codec_name(encoding) not in _UTF8
        if not file.is_local and (packing != "none" or is_recoded or is_web(address)):
            address = str(self.fetch(file))
        if packing == "zip":
            members = self._unzip(file.key, Path(address))
        else:
            members = [ReadableFile(file.key, file.key, address, packing, stamp=file.stamp if address == file.address else None)]
            _verify(members[0])
        return [self._in_known_encoding(member, encoding) for member in members] if is_text else members

    def fetch(self, file: FoundFile) -> Path:
        """A local copy of a remote file. Raises SourceReadFailed when the connection breaks before its end."""
        target = self._target("fetched")  # without an ending: the engine would pack what it writes to a .gz
        if not is_web(file.address):
            self._fetch_s3(file.address, target)
            return target
        from headwater.sources.files.web import download

        try:
            expected, received = download(file.address, target, _CHUNK_BYTES)
        except OSError as error:
            raise _write_error(error, without_query(file.address)) from None
        if expected is not None and int(expected) != received:
            raise SourceReadFailed(
                f"{without_query(file.address)} broke off",
                expected=f"{expected} bytes",
                found=f"{received} bytes",
                state="nothing of it was loaded",
                hint="run again",
            )
        return target

    def _target(self, name: str) -> Path:
        return self._folder() / f"{next(self._numbers)}-{name}"

    def _unzip(self, key: str, path: Path) -> list[ReadableFile]:
        try:
            with zipfile.ZipFile(path) as archive:
                found = []
                for info in archive.infolist():
                    if info.is_dir() or info.filename.startswith("__MACOSX/"):
                        continue
                    target = self._target(Path(info.filename).name)
                    with archive.open(info) as member, target.open("wb") as out:
                        shutil.copyfileobj(member, out, _CHUNK_BYTES)
                    found.append(ReadableFile(key, f"{key}!{info.filename}", str(target), packing_of(info.filename)))
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
            raise _damaged(key, "zip", error) from None
        except OSError as error:
            raise _write_error(error, key) from None
        for inner in found:
            _verify(inner)
        return found

    def _in_known_encoding(self, file: ReadableFile, encoding: str | None) -> ReadableFile:
        """The engine reads UTF-8, and UTF-16 and Latin-1 that aren't packed; the rest is rewritten.

        A UTF-16 mark at the start of a local file is obeyed.
        """
        if file.is_remote:
            return file  # read from where it lies, as UTF-8
        named = _codec_name(encoding) if encoding else None
        with open_unpacked(file) as start:
            mark = start.read(2)
        if mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) and named in (None, "utf-8", "utf-16"):
            named = "utf-16"
        if named is None or named in _UTF8:
            return file
        if named in ENGINE_ENCODINGS and file.compression == "none" and mark != codecs.BOM_UTF16_BE:
            return replace(file, encoding=ENGINE_ENCODINGS[named])
        target = self._target(Path(file.address).name + ".utf8")
        try:
            with open_unpacked(file) as raw, target.open("w", encoding="utf-8", newline="") as out:
                shutil.copyfileobj(codecs.getreader(named)(raw), out, _CHUNK_BYTES)
        except UnicodeError as error:
            reason = getattr(error, "reason", "undecodable bytes")
            raise SourceDataInvalid(
                f"{file.label} isn't written in {named}",
                found=f"{reason} near byte {getattr(error, 'start', '?')}",
                state="nothing of it was loaded",
                hint="set options: {encoding: ..} of the stream to what the file is written in",
            ) from None
        except OSError as error:
            raise _write_error(error, file.label) from None
        return ReadableFile(file.key, file.label, str(target), "none")


def _codec_name(encoding: str) -> str:
    try:
        return codecs.lookup(encoding).name
    except LookupError:
        raise SourceDataInvalid(
            f"there is no encoding {encoding!r}", expected="utf-8, utf-16, latin-1, cp1252 or another that Python knows"
        ) from None


def open_unpacked(file: ReadableFile) -> IO[bytes]:
    """The bytes of a local file less its gzip or zstd."""
    if file.compression == "gzip":
        return cast("IO[bytes]", gzip.open(file.address, "rb"))
    if file.compression == "zstd":
        import pyarrow as pa  # heavy, and rarely needed here

        return cast("IO[bytes]", pa.CompressedInputStream(pa.OSFile(file.address, mode="rb"), "zstd"))
    return Path(file.address).open("rb")


def _verify(file: ReadableFile) -> None:
    if file.compression == "gzip":
        verify_gzip(file.label, Path(file.address))
    elif file.compression == "zstd":
        verify_zstd(file.label, Path(file.address))


def verify_gzip(label: str, path: Path) -> None:
    """Reads the file through once. The engine doesn't notice a missing end, or a checksum that is wrong. Raises SourceDataInvalid."""
    try:
        with gzip.open(path, "rb") as packed:
            while packed.read(_CHUNK_BYTES):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise _damaged(label, "gzip", error) from None


def verify_zstd(label: str, path: Path) -> None:
    """As `verify_gzip`: a zstd file cut off would give fewer rows without a word."""
    import pyarrow as pa

    try:
        with pa.CompressedInputStream(pa.OSFile(str(path), mode="rb"), "zstd") as packed:
            while packed.read(_CHUNK_BYTES):
                pass
    except OSError as error:
        raise _damaged(label, "zstd", error) from None


def _damaged(label: str, packing: str, error: Any) -> SourceDataInvalid:
    return SourceDataInvalid(
        f"{label} is cut off or damaged",
        expected=f"a whole {packing} file",
        found=str(error).splitlines()[0] if str(error) else type(error).__name__,
        state="nothing of it was loaded",
        hint="deliver the file again; it is read as soon as it has changed",
    )


def _write_error(error: OSError, label: str) -> StorageFull | SourceReadFailed:
    if error.errno == 28:
        return StorageFull(f"no space is left to unpack {label}", state="nothing was committed", hint="free space, then run again")
    return SourceReadFailed(
        f"{label} can't be unpacked", found=error.strerror or type(error).__name__, state="nothing of it was loaded", hint="run again"
    )


def copy_blob_sql(address: str, target: Path) -> str:
    """SQL that writes a remote file to a local one, byte by byte (it passes through memory)."""
    return f"COPY (SELECT content FROM read_blob({quote_literal(address)})) TO {quote_literal(str(target))} (FORMAT blob)"
