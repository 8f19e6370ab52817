"""The connector `files`."""

from __future__ import annotations

import itertools
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from headwater.errors import HeadwaterError, SourceDataInvalid, StreamNotFound
from headwater.sources.base import ConnectorBase, unique_name
from headwater.sources.connector import Capabilities, DiscoveredColumn, DiscoveredStream, Portion, Reading, ReadRequest, Scan
from headwater.sources.files.delimited import plan_delimited
from headwater.sources.files.json import plan_json
from headwater.sources.files.listing import FoundFile, changed_since, has_glob, is_s3, is_web, list_local, list_s3
from headwater.sources.files.plan import ONE_COLUMN, FilePlan, Planned
from headwater.sources.files.typed import plan_excel, plan_parquet
from headwater.sources.files.unpacking import ReadableFile, Unpacker, copy_blob_sql, without_packing
from headwater.sources.text import sample_forms
from headwater.spec.counting import plural
from headwater.spec.names import FILE_COLUMN, quote, quote_literal
from headwater.spec.sources import Stream

if TYPE_CHECKING:
    import pyarrow as pa

_FORMATS = {
    ".csv": "csv",
    ".txt": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".json": "json",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".xlsx": "excel",
}
FORMATS = ("csv", "tsv", "json", "ndjson", "parquet", "excel")
_S3_SETTINGS = ("key_id", "secret", "session_token", "region", "endpoint", "url_style", "use_ssl")
_S3_ENVIRONMENT = {
    "key_id": "AWS_ACCESS_KEY_ID",
    "secret": "AWS_SECRET_ACCESS_KEY",
    "session_token": "AWS_SESSION_TOKEN",
    "region": "AWS_REGION",
    "endpoint": "AWS_ENDPOINT_URL",
}
_DISCOVERED_FILES = 20_000


class FilesConnector(ConnectorBase):
    """Files by path or glob: local (relative to the project), `s3://`, `http(s)://`. `connection` may be the folder or prefix of the paths.

    The position is a mapping of each file to what it looked like (size and time of change, or ETag). A stream that is appended or merged reads the
    files that are new or changed; one that is replaced, or kept as scd2, reads all of them when any is new, changed or gone.
    """

    type: ClassVar[str] = "files"
    capabilities: ClassVar[Capabilities] = Capabilities(file_list=True)

    def check(self) -> str:
        base = self._base()
        if is_s3(base):
            self._prepare_s3(base)
            found = list_s3(_joined(base, "*"), self._rows)
            return f"{base}: {plural(len(found), 'object')} at the top"
        if is_web(base):
            return f"{base} answers" if _look_at_url(base) else ""
        folder = self._local(base)
        if not folder.is_dir():
            raise StreamNotFound(
                f"there is no folder {base}", expected=f"a folder under {self.context.project_dir.name}/", hint="check the connection of the source"
            )
        return f"{base or '.'}: a folder of {sum(1 for _ in folder.iterdir())} entries"

    def discover(self) -> list[DiscoveredStream]:
        """A stream for each set of files of one folder whose names differ in digits alone.

        The folder looked through is the connection, else `data` where it holds any, else the project.
        """
        base = self._base()
        if is_web(base):
            return []
        if is_s3(base):
            self._prepare_s3(base)
            files = list_s3(_joined(base, "**"), self._rows)
        else:
            folder = base or ("data" if self._local("data").is_dir() else "")
            files = list_local(_joined(folder, "**"), self.context.project_dir)
            if not base and folder and not any(_inferred(file.key, "none") for file in files):
                files = list_local("**", self.context.project_dir)
        own = base.rstrip("/") + "/" if base.startswith(("/", "~")) else ""
        grouped: dict[tuple[str, str], list[FoundFile]] = defaultdict(list)
        for file in files[:_DISCOVERED_FILES]:
            folder, _, name = file.key.rpartition("/")
            below = (folder + "/").removeprefix(own)  # what leads to the connection may be hidden
            if name.startswith(".") or "/." in "/" + below or _inferred(name, "none") is None:
                continue
            grouped[(folder, re.sub(r"[\d]+([-_.T:]?\d+)*", "*", name))].append(file)
        found = [(folder, self._discovered(folder, pattern, members)) for (folder, pattern), members in sorted(grouped.items())]
        times = Counter(stream.name for _, stream in found)
        taken: set[str] = set()
        return [replace(stream, name=_told_apart(stream.name, folder, times, taken)) for folder, stream in found]

    def columns(self, request: ReadRequest) -> tuple[DiscoveredColumn, ...]:
        files = self._found(request)
        newest = files[-3:] if len(files) > 3 else files
        planned, cleanup = self._planned(request, newest)
        cleanup()
        return planned.columns

    def read(self, request: ReadRequest) -> Reading:
        stream = request.stream
        files = self._found(request)
        is_whole = stream.disposition in ("replace", "scd2")
        fresh = list(changed_since(files, request.position))
        gone = set(request.position or ()) - {file.key for file in files}
        if not fresh and not (is_whole and gone and files):
            return Reading((), note=_none_new(len(files)))
        chosen = files if is_whole else [file for file, _ in fresh]
        replaced = () if is_whole else tuple(file.key for file, was_loaded in fresh if was_loaded)
        planned, cleanup = self._planned(request, chosen)
        portions = planned.portions
        if not portions and (replaced or (is_whole and request.position is not None)):
            portions = (
                Portion(Scan(f"SELECT NULL::VARCHAR AS {quote(FILE_COLUMN)} WHERE false"), "files that are empty now", tuple(f.key for f in chosen)),
            )
        return Reading(
            _with_cleanup(portions, cleanup),
            position={file.key: dict(file.stamp) for file in chosen},
            is_delta=not is_whole,
            replaced_files=replaced,
            note=f"{len(chosen)} of {plural(len(files), 'file')}" + ("" if portions else ", all empty"),
        )

    # -- finding ---------------------------------------------------------------------------------------------------------

    def _base(self) -> str:
        connection = self.context.connection
        if isinstance(connection, str):
            return connection.removeprefix("file://")
        return str((connection or {}).get("path", ""))

    def _local(self, path: str) -> Path:
        return self.context.project_dir / Path(path).expanduser()

    def _found(self, request: ReadRequest) -> list[FoundFile]:
        if not request.stream.path:
            raise StreamNotFound(f"the stream {self.context.name}.{request.name} names no file", expected="path: a file, a glob or a URL")
        found: dict[str, FoundFile] = {}
        for path in request.stream.path:
            for file in self._listed(_joined(self._base(), path)):
                found.setdefault(file.key, file)
        return list(found.values())

    def _listed(self, path: str) -> list[FoundFile]:
        if is_web(path):
            return [_look_at_url(path)]
        if is_s3(path):
            self._prepare_s3(path)
            listed = list_s3(path, self._rows)
            if not listed and not has_glob(path):
                raise StreamNotFound(f"there is no object {path}", hint="check the stream's path")
            return listed
        return list_local(path.removeprefix("file://"), self.context.project_dir)

    def _rows(self, sql: str) -> Sequence[tuple[Any, ...]]:
        try:
            return self.run(sql).fetchall()
        except StreamNotFound as error:
            if error.found and "no files found" in error.found.lower():
                return []
            raise

    # -- S3 --------------------------------------------------------------------------------------------------------------

    def _s3_settings(self) -> dict[str, Any]:
        given = {name: self.settings[name] for name in _S3_SETTINGS if self.settings.get(name) is not None}
        if "key_id" not in given:
            named = {name: self.context.environ.get(variable) for name, variable in _S3_ENVIRONMENT.items()}
            given = {**{name: value for name, value in named.items() if value}, **given}
        endpoint = str(given.get("endpoint", ""))
        if "://" in endpoint:
            given.setdefault("use_ssl", endpoint.startswith("https://"))
            given["endpoint"] = endpoint.partition("://")[2].rstrip("/")
        if endpoint:
            given.setdefault("url_style", "path")
        return given

    def _s3_secret(self, scope: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Statements that make the credentials known for addresses under `scope`, and that forget them."""
        settings = self._s3_settings()
        if not settings:
            return (), ()
        name = quote(unique_name("secret"))
        options = ", ".join(
            f"{key} {quote_literal(str(value).lower() if isinstance(value, bool) else str(value))}" for key, value in settings.items()
        )
        return (f"CREATE TEMPORARY SECRET {name} (TYPE s3, {options}, SCOPE {quote_literal(scope)})",), (f"DROP SECRET IF EXISTS {name}",)

    def _prepare_s3(self, path: str) -> None:
        self.load("httpfs")
        scope = _scope(path)
        if scope not in self._scopes:
            for statement in self._s3_secret(scope)[0]:
                self.run(statement)
            self._scopes.add(scope)

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self._scopes: set[str] = set()

    @property
    def secrets(self) -> tuple[str, ...]:
        return (*super().secrets, *(str(value) for key, value in self._s3_settings().items() if key in ("key_id", "secret", "session_token")))

    def close(self) -> None:
        self._scopes.clear()
        super().close()

    # -- planning --------------------------------------------------------------------------------------------------------

    def _planned(self, request: ReadRequest, files: Sequence[FoundFile]) -> tuple[Planned, Callable[[], None]]:
        """The portions of these files by format; and what removes the files unpacked for them."""
        options = {**self.context.options, **request.stream.options}
        written: list[Path] = []

        def target_folder() -> Path:
            if not written:
                folder = self.temp_dir / unique_name("unpacked")
                folder.mkdir()
                written.append(folder)
            return written[0]

        def remove() -> None:
            for folder in written:
                for path in folder.iterdir():
                    path.unlink(missing_ok=True)

        unpacker = Unpacker(target_folder, lambda address, target: _ignored(self.run(copy_blob_sql(address, target))))
        by_format: dict[str, list[ReadableFile]] = defaultdict(list)
        try:
            for file in files:
                format = request.stream.format
                is_text = (format or _inferred(without_packing(file.key), "csv")) not in ("parquet", "excel")
                for readable in unpacker.prepare(file, encoding=options.get("encoding"), compression=options.get("compression"), is_text=is_text):
                    by_format[self._format(request.stream, readable)].append(readable)
            planned = [self._plan_format(request, format, members, options) for format, members in by_format.items()]
        except BaseException:
            remove()
            raise
        columns: dict[str, DiscoveredColumn] = {}
        for part in planned:
            for column in part.columns:
                columns.setdefault(column.name.lower(), column)
        return Planned(tuple(portion for part in planned for portion in part.portions), tuple(columns.values())), remove

    def _format(self, stream: Stream, file: ReadableFile) -> str:
        if stream.format is not None:
            if stream.format not in FORMATS:
                raise SourceDataInvalid(f"there is no format {stream.format!r}", expected=", ".join(FORMATS))
            return stream.format
        inferred = _inferred(without_packing(file.label), None)
        if inferred is None:
            raise SourceDataInvalid(
                f"the name of {file.label} doesn't tell its format", expected=", ".join(FORMATS), hint="set format: of the stream"
            )
        return inferred

    def _plan_format(self, request: ReadRequest, format: str, files: Sequence[ReadableFile], options: Mapping[str, Any]) -> Planned:
        plan = self._file_plan(request, format, files, options)
        match format:
            case "csv" | "tsv":
                return plan_delimited(plan, files, "\t" if format == "tsv" else None, self._remote_head)
            case "json" | "ndjson":
                return plan_json(plan, files, is_lines=format == "ndjson")
            case "parquet":
                return plan_parquet(plan, files)
            case _:
                self.load("excel")
                return plan_excel(plan, files)

    def _file_plan(self, request: ReadRequest, format: str, files: Sequence[ReadableFile], options: Mapping[str, Any]) -> FilePlan:
        subject = f"{self.context.name}.{request.name}"
        remote = [file.address for file in files if is_s3(file.address)]
        setup, teardown = self._s3_secret(_scope(_common_start(remote) + "*")) if remote else ((), ())
        extensions = (("httpfs",) if remote else ()) + (("excel",) if format == "excel" else ()) + (("json",) if format in ("json", "ndjson") else ())

        def sample(sql: str, names: Sequence[str], expressions: Mapping[str, str], rows: int) -> dict[str, int]:
            try:
                return sample_forms(self.connection, sql, names, expressions, rows=rows)
            except HeadwaterError as error:
                raise self.explain(error, subject) from None

        def evaluate(rows: pa.Table, expressions: Sequence[str]) -> Sequence[tuple[Any, ...]]:
            name = unique_name("rows")
            self.connection.register(name, rows)
            try:
                return self.run(f"SELECT {', '.join(expressions)} FROM {name}", subject).fetchall()
            finally:
                self.connection.unregister(name)

        return FilePlan(
            subject=subject,
            options=options,
            run=lambda sql: self.run(sql, subject),
            sample_forms=sample,
            explain=lambda error: self.explain(error, subject),
            evaluate=evaluate,
            select=request.stream.select,
            exclude=request.stream.exclude,
            column_types=request.column_types,
            with_file_column=request.stream.disposition == "append",
            limit=request.limit,
            setup=setup,
            teardown=teardown,
            extensions=extensions,
            local_prefix=str(self.context.project_dir.resolve()) + os.sep,
        )

    def _remote_head(self, file: ReadableFile) -> str:
        rows = self.run(
            f"SELECT line FROM read_csv({quote_literal(file.address)}, auto_detect = false, columns = {{'line': 'VARCHAR'}}, {ONE_COLUMN}, "
            "ignore_errors = true) LIMIT 20",
            file.label,
        ).fetchall()
        return "".join(f"{row[0] or ''}\n" for row in rows)

    def _discovered(self, folder: str, pattern: str, files: Sequence[FoundFile]) -> DiscoveredStream:
        name = (
            re.sub(r"\W+", "_", without_packing(pattern).rpartition(".")[0].replace("*", "")).strip("_").lower()
            or re.sub(r"\W+", "_", folder.rpartition("/")[2]).lower()
        )
        path = files[0].key if len(files) == 1 else _joined(folder, pattern)
        base = self._base()
        relative = path.removeprefix(base.rstrip("/") + "/") if base else path
        definition: dict[str, Any] = {"path": relative}
        request = ReadRequest(name or "files", Stream.model_validate(definition))
        try:
            columns = self.columns(request)
        except HeadwaterError:
            columns = ()  # listed all the same: reading it will say what is wrong
        return DiscoveredStream(name or "files", definition, columns)


def _none_new(files: int) -> str:
    if files == 1:
        return "1 file, neither new nor changed"
    return f"{plural(files, 'file')}, none new or changed" if files else "no file matches"


def _told_apart(name: str, folder: str, times: Mapping[str, int], taken: set[str]) -> str:
    """The name, with that of its folder before it where files of several folders have it; added to `taken`."""
    above = re.sub(r"\W+", "_", folder.rpartition("/")[2]).lower()
    told = f"{above}_{name}" if times[name] > 1 and above and above != name else name
    numbered = next(n for n in itertools.chain([told], (f"{told}_{i}" for i in itertools.count(2))) if n not in taken)
    taken.add(numbered)
    return numbered


def _joined(base: str, path: str) -> str:
    if not base or "://" in path or path.startswith(("/", "~")):
        return path
    return f"{base.rstrip('/')}/{path}"


def _common_start(addresses: Sequence[str]) -> str:
    low, high = min(addresses), max(addresses)
    return low[: next((i for i, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))]


def _scope(path: str) -> str:
    """The part of an S3 address before its first glob."""
    return re.split(r"[*?\[]", path, maxsplit=1)[0]


def _inferred(name: str, otherwise: str | None) -> str | None:
    return _FORMATS.get(Path(without_packing(name).lower()).suffix, None if otherwise == "none" else otherwise)


def _with_cleanup(portions: Sequence[Portion], cleanup: Callable[[], None]) -> tuple[Portion, ...]:
    """The last portion to be read removes what was unpacked."""
    return tuple(
        replace(p, data=replace(p.data, cleanup=cleanup)) if i == len(portions) - 1 and isinstance(p.data, Scan) else p
        for i, p in enumerate(portions)
    )


def _ignored(_: object) -> None:
    return None


def _look_at_url(url: str) -> FoundFile:
    from headwater.sources.files.web import look_at_url

    return look_at_url(url)
