"""A folder that gets one file of changes for each batch: on this machine, or in an object store that speaks S3's protocol."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from headwater.destinations.databases import refuse_type
from headwater.destinations.destination import Batch, DestinationContext, Sent, Shape
from headwater.destinations.values import json_rows
from headwater.errors import DestinationRefused, DestinationUnreachable

if TYPE_CHECKING:
    from pyarrow.fs import S3FileSystem

#: The column that says what became of a row: insert, update or delete.
OPERATION: Final = "_operation"
#: Types that Parquet has no place for.
_NOT_IN_PARQUET: Final = ("INTERVAL", "BIT", "TIME WITH TIME ZONE", "UNION")
_ENVIRONMENT: Final = {
    "key_id": "AWS_ACCESS_KEY_ID",
    "secret": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
    "region": "AWS_REGION",
    "endpoint": "AWS_ENDPOINT_URL",
}


class FilesDestination:
    """`<path>/<sequence>-<id>.<format>`: applied in the order of their names, by key, they give the table. Each is there whole or not at all; the
    same batch sent again is the same file. Deletes have the key's columns alone, the others are null."""

    type: ClassVar[str] = "files"

    def __init__(self, context: DestinationContext) -> None:
        options = context.options
        self._path = str(options["path"]).rstrip("/")
        self._format = str(options.get("format") or "parquet")
        self._options = options
        self._folder = context.project_dir / Path(self._path).expanduser()
        self._store: S3FileSystem | None = None
        self._shape: Shape | None = None

    @property
    def identity(self) -> str:
        return f"files {self._path} {self._format}" if self._is_remote else f"files {self._folder} {self._format}"

    @property
    def takes_text(self) -> bool:
        return self._format != "parquet"

    @property
    def _is_remote(self) -> bool:
        return self._path.startswith("s3://")

    def check(self) -> str:
        if self._is_remote:
            from pyarrow.fs import FileSelector

            bucket = self._path.removeprefix("s3://").partition("/")[0]
            try:
                self._s3().get_file_info(FileSelector(bucket))
            except OSError as error:
                raise self._failed(error) from None
        elif not self._folder.is_dir() and not os.access(_existing(self._folder), os.W_OK):
            raise DestinationRefused(f"the folder {self._path} can't be made", hint="check the rights of the folder above it")
        return f"{self._path} can be reached"

    def prepare(self, shape: Shape, *, dry_run: bool = False) -> None:
        if any(column.name == OPERATION for column in shape.columns):
            raise DestinationRefused(f"a column is called {OPERATION}, as the files call what became of a row", hint="map it under `columns:`")
        for column in shape.columns:
            if self._format == "parquet" and column.type.startswith(_NOT_IN_PARQUET):
                raise refuse_type(column, "a Parquet file")
        self._shape = shape
        if not self._is_remote and not dry_run:
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise self._failed(error) from None

    def send(self, batch: Batch) -> Sent:
        name = f"{batch.sequence}-{batch.id[:20]}.{self._format}"
        content = self._content(batch)
        try:
            if self._is_remote:
                # an object is there when its stream is closed, and not before
                with self._s3().open_output_stream(f"{self._path.removeprefix('s3://')}/{name}") as out:
                    out.write(content)
            else:
                self._place(name, content)
        except OSError as error:
            raise self._failed(error) from None
        return Sent()

    def _content(self, batch: Batch) -> bytes:
        assert self._shape is not None
        names = [column.name for column in self._shape.columns]
        if self._format == "ndjson":
            rows = json_rows(batch)
            said = (f'{{"{OPERATION}": "{operation}", {row[1:]}\n' for operation, row in zip(batch.operations, rows, strict=True))
            return "".join(said).encode()
        if self._format == "csv":
            sent = [column.name for column in batch.columns]
            places = [sent.index(name) if name in sent else None for name in names]
            lines = [",".join(_quoted(name) for name in (OPERATION, *names))]
            for operation, row in zip(batch.operations, batch.tuples(), strict=True):
                lines.append(",".join([operation, *("" if place is None or row[place] is None else _quoted(row[place]) for place in places)]))
            return ("\n".join(lines) + "\n").encode()
        return self._parquet(batch, names)

    def _parquet(self, batch: Batch, names: list[str]) -> bytes:
        import pyarrow as pa
        import pyarrow.parquet as pq

        columns: list[Any] = [pa.array(batch.operations, pa.string())]
        given = dict(zip([column.name for column in batch.columns], batch.rows.columns, strict=True))
        for name in names:
            columns.append(given[name] if name in given else pa.nulls(len(batch)))
        out = BytesIO()
        pq.write_table(pa.table(columns, names=[OPERATION, *names]), out, compression="zstd")
        return out.getvalue()

    def _place(self, name: str, content: bytes) -> None:
        draft = self._folder / f".{name}.{secrets.token_hex(4)}"
        try:
            with draft.open("wb") as out:
                out.write(content)
                out.flush()
                os.fsync(out.fileno())
            draft.replace(self._folder / name)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def _s3(self) -> S3FileSystem:
        if self._store is None:
            from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

            given = settings(self._options, os.environ)
            endpoint = given.get("endpoint")
            is_plain = self._options.get("use_ssl") is False or str(endpoint or "").startswith("http://")
            self._store = S3FileSystem(
                access_key=given.get("key_id"),
                secret_key=given.get("secret"),
                session_token=given.get("session_token"),
                region=given.get("region"),
                endpoint_override=str(endpoint).partition("://")[2] or endpoint if endpoint else None,
                scheme="http" if is_plain else "https",
                force_virtual_addressing=self._options.get("url_style") == "vhost",
                connect_timeout=15,
                request_timeout=60,
                retry_strategy=AwsStandardS3RetryStrategy(max_attempts=2),
            )
        return self._store

    def _failed(self, error: OSError) -> DestinationUnreachable | DestinationRefused:
        """What the system says is about files and rights; an object store's text may name its keys."""
        found = type(error).__name__ if self._is_remote else (error.strerror or type(error).__name__)
        if (
            isinstance(error, PermissionError | FileExistsError | NotADirectoryError)
            or "ACCESS_DENIED" in str(error)
            or "NO_SUCH_BUCKET" in str(error)
        ):
            return DestinationRefused(f"{self._path} can't be written", found=found, hint="check its rights, and that it is there")
        return DestinationUnreachable(f"{self._path} can't be written now", found=found, hint="check that there is room, and that the store answers")

    def close(self) -> None:
        self._store = None


def settings(options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, str]:
    """How to reach the store: what the export says, else what the environment says by custom."""
    found = {name: options.get(name) or environ.get(variable) for name, variable in _ENVIRONMENT.items()}
    return {name: str(value) for name, value in found.items() if value}


def _existing(folder: Path) -> Path:
    return next((one for one in (folder, *folder.parents) if one.exists()), folder)


def _quoted(text: str) -> str:
    """In quotes: an empty text isn't a null."""
    return '"' + text.replace('"', '""') + '"'
