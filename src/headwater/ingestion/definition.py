"""What is committed of a stream's definition. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.spec.checks import dump_check
from headwater.spec.sources import Source, Stream, StreamColumn
from headwater.storage.changes import Definition


def stream_definition(source: Source, name: str, stream: Stream, fingerprint: str, source_types: Mapping[str, str]) -> Definition:
    """The definition of the table a stream is loaded into. Holds nothing of the source's connection."""
    body: dict[str, Any] = {
        "source": source.name,
        "source_type": source.type,
        "stream": name,
        "write_disposition": stream.disposition,
        "primary_key": list(stream.primary_key),
        "cursor": stream.cursor.model_dump(mode="json", exclude_defaults=True) if stream.cursor else None,
        "deleted_when": stream.deleted_when,
        "schema_contract": stream.schema_contract.model_dump(mode="json"),
        "max_rejected": stream.max_rejected,
        "columns": {column: _dump_column(contract) for column, contract in stream.columns.items()},
        "checks": [dump_check(check) for check in stream.checks],
        "owner": stream.owner or source.owner,
        "tags": sorted({*source.tags, *stream.tags}),
        "publish_group": stream.publish_group,
        "renamed_from": stream.renamed_from,
        "source_types": dict(source_types),
    }
    return Definition(
        "stream", fingerprint, description=stream.description, body={key: value for key, value in body.items() if value not in (None, [], {})}
    )


def _dump_column(column: StreamColumn) -> dict[str, Any]:
    plain = column.model_dump(mode="json", exclude_defaults=True, exclude={"checks"})
    return {**plain, "checks": [dump_check(check) for check in column.checks]} if column.checks else plain
