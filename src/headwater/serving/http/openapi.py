"""The OpenAPI document, made from what the code takes and gives."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from headwater.serving.http import problems
from headwater.serving.http.formats import ARROW, CSV, FORMATS, JSON, NDJSON, PARQUET
from headwater.serving.http.tables import OPERATORS, RESERVED
from headwater.serving.limits import DoorLimits

_TEXTS = {
    JSON: "columns with DuckDB's types, then rows. Decimals are text with all digits; 64-bit integers too with ;integers=text.",
    NDJSON: "one object a line",
    CSV: "a line of names, then the rows",
    ARROW: "an Arrow IPC stream, compressed with zstd",
    PARQUET: "a Parquet file, compressed with zstd",
}
_ANSWER_STATUSES = {
    "400": "the request or its SQL is wrong",
    "401": "nobody known is asking",
    "403": "refused: a statement that isn't a query, a password without TLS, an address",
    "404": "no such table, or none for you to see",
    "406": "none of the formats asked for",
    "408": "the request came too slowly",
    "413": "the request is too large",
    "415": "the body isn't application/json",
    "422": "it needs more memory than allowed",
    "431": "the request's head is too large",
    "429": "as many of yours run as may",
    "500": "a fault in the server",
    "503": "not now; Retry-After says when",
    "504": "it took too long",
}


def document(name: str, limits: DoorLimits) -> dict[str, Any]:
    """The document for a server of this project and these limits."""
    string = {"type": "string"}
    purpose = {"name": "X-Headwater-Purpose", "in": "header", "required": False, "schema": string, "description": "what the data is for"}
    words: dict[str, dict[str, Any]] = {
        "columns": {"schema": string, "description": "names with commas; all without it"},
        "order": {"schema": string, "description": "NAME.asc|desc.nullsfirst|nullslast, several with commas; the primary key decides the rest"},
        "limit": {"schema": {"type": "integer", "minimum": 1, "maximum": limits.page, "default": min(limits.default_page, limits.page)}},
        "cursor": {"schema": string, "description": "from the Link header of the page before"},
    }
    parameters = [
        {"name": "table", "in": "path", "required": True, "schema": string, "description": "schema.table"},
        *({"name": word, "in": "query", "required": False, **words[word]} for word in RESERVED),
        {
            "name": "filters",
            "in": "query",
            "required": False,
            "style": "form",
            "explode": True,
            "schema": {"type": "object", "additionalProperties": {"type": "string", "pattern": f"^({'|'.join(OPERATORS)})\\."}},
            "description": "COLUMN=OPERATOR.VALUE, as country=eq.NO or id=in.(1,2,3); a column named like a word above as filter.COLUMN",
        },
        purpose,
        {"name": "If-None-Match", "in": "header", "required": False, "schema": string},
    ]
    rows = {kind: {"schema": _schema_of(kind), "x-description": _TEXTS[kind]} for kind in FORMATS}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{name}, served by Headwater", "version": version("headwater")},
        "security": [{"token": []}, {"password": []}],
        "paths": {
            "/v1/query": {
                "post": {
                    "summary": "Run one query",
                    "operationId": "query",
                    "parameters": [purpose],
                    "requestBody": {"required": True, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Query"}}}},
                    "responses": {"200": {"description": "the rows", "content": rows}, **_problems("404")},
                }
            },
            "/v1/tables": {
                "get": {
                    "summary": "The tables one may see",
                    "operationId": "tables",
                    "parameters": [purpose],
                    "responses": {
                        "200": {
                            "description": "tables with columns and keys",
                            "content": {JSON: {"schema": {"$ref": "#/components/schemas/Tables"}}},
                        },
                        **_problems("404", "406", "408", "413", "415", "422", "504"),
                    },
                }
            },
            "/v1/tables/{table}": {
                "get": {
                    "summary": "Rows of one table, a page at a time",
                    "operationId": "rows",
                    "parameters": parameters,
                    "responses": {
                        "200": {
                            "description": "a page",
                            "headers": {
                                "Link": {"schema": string, "description": "the next page, rel=next; absent on the last"},
                                "ETag": {"schema": string, "description": "of what is published, for this reader; where the server can tell"},
                            },
                            "content": rows,
                        },
                        "304": {"description": "as it was, by If-None-Match"},
                        **_problems("408", "413", "415"),
                    },
                }
            },
            "/openapi.json": {"get": {"summary": "This document", "operationId": "openapi", "security": [], "responses": _plain()}},
            "/health": {"get": {"summary": "Whether the process lives", "operationId": "health", "security": [], "responses": _plain()}},
            "/ready": {
                "get": {
                    "summary": "Whether queries are answered",
                    "operationId": "ready",
                    "security": [],
                    "responses": {**_plain(), "503": {"description": "not now", "content": {JSON: {"schema": {"type": "object"}}}}},
                }
            },
        },
        "components": {
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer"},
                "password": {"type": "http", "scheme": "basic", "description": "over TLS, or from this machine"},
            },
            "schemas": _schemas(limits),
        },
    }


def _schema_of(kind: str) -> dict[str, Any]:
    if kind == JSON:
        return {"$ref": "#/components/schemas/Rows"}
    return {"type": "string"} if kind in (NDJSON, CSV) else {"type": "string", "format": "binary"}


def _plain() -> dict[str, Any]:
    return {"200": {"description": "yes", "content": {JSON: {"schema": {"type": "object"}}}}}


def _problems(*without: str) -> dict[str, Any]:
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {status: {"description": text, "content": content} for status, text in _ANSWER_STATUSES.items() if status not in without}


def _schemas(limits: DoorLimits) -> dict[str, Any]:
    string = {"type": "string"}
    maybe = {"type": ["string", "null"]}
    value = {"type": ["string", "number", "boolean", "null", "array"]}
    column = {"type": "object", "required": ["name", "type"], "properties": {"name": string, "type": string}}
    described = {
        "type": "object",
        "required": ["name", "type", "nullable", "description"],
        "properties": {"name": string, "type": string, "nullable": {"type": "boolean"}, "description": maybe},
    }
    relationship = {"type": "object", "required": ["column", "to", "field"], "properties": {"column": string, "to": string, "field": string}}
    table = {
        "type": "object",
        "required": ["name", "kind", "description", "columns", "primary_key", "relationships"],
        "properties": {
            "name": string,
            "kind": string,
            "description": maybe,
            "columns": {"type": "array", "items": described},
            "primary_key": {"type": "array", "items": string},
            "relationships": {"type": "array", "items": relationship},
        },
    }
    return {
        "Query": {
            "type": "object",
            "required": ["sql"],
            "additionalProperties": False,
            "properties": {
                "sql": {"type": "string", "maxLength": limits.body, "description": "one query in DuckDB's SQL, parameters as $1 or ?"},
                "parameters": {"type": "array", "items": value, "maxItems": 1000},
            },
        },
        "Rows": {
            "type": "object",
            "required": ["columns", "rows"],
            "properties": {"columns": {"type": "array", "items": column}, "rows": {"type": "array", "items": {"type": "array"}}},
        },
        "Tables": {"type": "object", "required": ["tables"], "properties": {"tables": {"type": "array", "items": table}}},
        "Problem": {
            "type": "object",
            "required": ["type", "title", "status", "detail", "code", "retry"],
            "properties": {
                **dict.fromkeys(("type", "title", "detail", "code", "expected", "found", "state", "hint"), string),
                "status": {"type": "integer"},
                "retry": {"enum": ["no", "yes", "unknown"]},
            },
        },
    }
