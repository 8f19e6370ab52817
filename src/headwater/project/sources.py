"""`sources/*.yaml`: one source a file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

from headwater.project.documents import Document, read_document
from headwater.project.files import ProjectFile, check_schema_name, check_table_name
from headwater.project.problems import Report, nearest
from headwater.project.resources import place_in, prepare, validate
from headwater.project.variables import VarValue
from headwater.spec.names import TECHNICAL_COLUMNS, TableName
from headwater.spec.sources import Source

#: Types that come with Headwater; others are found by their entry point in the group `headwater.connectors`.
BUILT_IN_TYPES = ("files", "postgres", "mysql", "sqlite", "duckdb", "python")
_GROUP = "headwater.connectors"


def read_source(file: ProjectFile, values: Mapping[str, VarValue], report: Report) -> tuple[Source, Document] | None:
    """The source a file defines, with its document; None and problems when it doesn't."""
    errors_before = len(report.errors)
    document = read_document(file.text, file.path, report, values=values)
    if document is None:
        return None
    data = document.value
    if not isinstance(data, dict):
        report.add("bad-value", "a source is a mapping", document.locate(), expected="`type:` and `streams:`")
        return None
    streams = data.get("streams")
    prepared: dict[str, Any] = {**data, "path": file.path}
    if data.get("name") is None:
        prepared["name"] = file.stem
    if isinstance(streams, dict):
        prepared["streams"] = {
            name: prepare(stream, place_in(document, ("streams", name)), report) if isinstance(stream, dict) else stream
            for name, stream in streams.items()
        }
    for key in ("path",):
        if key in data:
            report.add("unknown-key", f"there is no key {key!r} here", document.locate([key], True), expected="the path under a stream")
    source = validate(Source, prepared, place_in(document), report, f"the source {prepared['name']}")
    _check_type(data.get("type"), document, report)
    if not isinstance(source, Source):
        return None
    check_schema_name(source.name, document.locate(["name"] if "name" in data else []), report, f"the source {source.name}")
    for name, stream in source.streams.items():
        place = document.locate(["streams", name], True)
        check_table_name(TableName(source.name, name), place, report)
        for column in stream.columns:
            if column.lower() in TECHNICAL_COLUMNS:
                report.add(
                    "reserved-name", f"the column {column} is added by Headwater itself", document.locate(["streams", name, "columns", column], True)
                )
    return (source, document) if len(report.errors) == errors_before else None


def _check_type(name: Any, document: Document, report: Report) -> None:
    if not isinstance(name, str) or name in BUILT_IN_TYPES or "${" in name:
        return
    known = [*BUILT_IN_TYPES, *(point.name for point in entry_points(group=_GROUP))]
    if name not in known:
        report.add(
            "unknown-source-type",
            f"there is no source type {name!r}",
            document.locate(["type"]),
            expected=f"one of {', '.join(dict.fromkeys(known))}, or the package that brings it installed",
            did_you_mean=nearest(name, known),
        )
