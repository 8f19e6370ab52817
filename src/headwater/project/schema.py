"""The JSON Schema of the files people write, short forms included, so that editors complete and check them."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from headwater.project.problems import keys_of
from headwater.project.schema_texts import FIELD_TEXTS, FILE_TEXTS
from headwater.spec.checks import CHECK_SHORT_FORMS, CHECK_TYPES
from headwater.spec.exports import TARGETS, Export, ExportFile
from headwater.spec.models import KINDS, ModelColumn, ModelHeader
from headwater.spec.policies import ACTIONS, DATE_PARTS, MASK_KINDS, PARTIAL_FORMS, Deny, Grant, PolicyFile
from headwater.spec.project import ProjectConfig
from headwater.spec.sources import Source, Stream, StreamColumn
from headwater.spec.unit_tests import GivenTable, UnitTest

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
#: Any value may be written as a reference; it is resolved before it is read.
_REFERENCE = {"type": "string", "pattern": r"^\$\{(var|env|file|secret):.*\}$"}


def json_schema() -> dict[str, dict[str, Any]]:
    """The schemas by kind of file: `project` (headwater.yaml), `source`, `model` (a SQL header), `sidecar`, `unit-test`, `policy`, `export`."""
    header = _schema_of(ModelHeader, "model")
    sidecar = {
        "type": "object",
        "additionalProperties": False,
        "required": ["models"],
        "properties": {
            "models": {
                "type": "object",
                "description": "The headers of this folder's models, by table.",
                "additionalProperties": {"anyOf": [{"$ref": "#/$defs/ModelHeader"}, {"type": "null"}]},
            }
        },
        "$defs": {**header["$defs"], "ModelHeader": {key: value for key, value in header.items() if key not in ("$defs", "$schema", "title")}},
    }
    test = _schema_of(UnitTest, "unit-test")
    one = {key: value for key, value in test.items() if key not in ("$defs", "$schema", "title", "description")}
    tests = {
        "anyOf": [{"$ref": "#/$defs/UnitTest"}, {"type": "array", "items": {"$ref": "#/$defs/UnitTest"}}],
        "$defs": {**test["$defs"], "UnitTest": one},
    }
    return {
        "project": _schema_of(ProjectConfig, "project"),
        "source": _schema_of(Source, "source"),
        "model": header,
        "sidecar": _titled(sidecar, "sidecar"),
        "unit-test": _titled(tests, "unit-test"),
        "policy": _schema_of(PolicyFile, "policy"),
        "export": _schema_of(ExportFile, "export"),
    }


def write_schemas(folder: Path) -> list[Path]:
    """Writes each schema to `<kind>.json` in the folder; made where it isn't there. Gives the files written."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, schema in json_schema().items():
        file = folder / f"{name}.json"
        file.write_text(json.dumps(schema, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        files.append(file)
    return files


def _titled(schema: Mapping[str, Any], kind: str) -> dict[str, Any]:
    title, description = FILE_TEXTS[kind]
    return {"$schema": _DIALECT, "title": title, "description": description, **schema}


def _schema_of(model: type[BaseModel], kind: str) -> dict[str, Any]:
    schema = copy.deepcopy(model.model_json_schema(mode="validation"))
    definitions: dict[str, Any] = schema.pop("$defs", {})
    for name in ("Check", "IncrementalKind", "SnapshotKind", "TableKind", "ViewKind", *(check.__name__ for check in CHECK_TYPES.values())):
        definitions.pop(name, None)
    if kind in ("model", "source"):
        definitions["Checks"] = _checks_schema()
        definitions["Check"] = _check_schema()
        for check in CHECK_TYPES.values():
            definitions[f"check.{check.type}"] = _arguments_schema(check, optional={"column", "columns", "name"})
    if kind == "model":
        definitions["Kind"] = _kind_schema()
        for name, kind_model in KINDS.items():
            definitions[f"kind.{name}"] = _arguments_schema(kind_model, optional=set())
    every: dict[type[BaseModel], dict[str, Any]] = {model: schema}
    if model is ExportFile:
        for target in TARGETS.values():
            definitions[target.__name__] = copy.deepcopy(target.model_json_schema(mode="validation"))
    for part in (Stream, StreamColumn, ModelColumn, GivenTable, Grant, Deny, Export):
        if part.__name__ in definitions:
            every[part] = definitions[part.__name__]
    for owner, part_schema in every.items():
        _shape(owner, part_schema)
    _short_forms(schema, definitions)
    if model is PolicyFile:
        _policy_forms(schema, definitions)
    if model is ExportFile:
        _export_forms(schema, definitions)
    for name, part_schema in definitions.items():
        if "properties" in part_schema:
            _describe(name, part_schema)
    _describe(model.__name__, schema)
    if model is Source:
        schema["required"] = ["type"]
    if model is UnitTest:
        schema["required"] = ["model", "expect"]
    for key in ("title", "description"):
        schema.pop(key, None)
    _allow_references(schema["properties"])
    for part_schema in definitions.values():
        _allow_references(part_schema.get("properties", {}))
    return {**_titled(schema, kind), "$defs": definitions}


def _shape(owner: type[BaseModel], schema: dict[str, Any]) -> None:
    """Drops what isn't written in files, and puts the checks' and kinds' own forms in."""
    keys = set(keys_of(owner))
    schema["properties"] = {key: value for key, value in schema["properties"].items() if key in keys}
    if "checks" in schema["properties"]:
        schema["properties"]["checks"] = {"$ref": "#/$defs/Checks"}
    if "kind" in schema["properties"]:
        schema["properties"]["kind"] = {"$ref": "#/$defs/Kind"}


def _short_forms(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """The forms that are filled in when read: a column as its type or description alone, a cursor as its column, a contract as a word."""
    text_or_null = [{"type": "string"}, {"type": "null"}]
    for owner, column in ((schema, "ModelColumn"), (definitions.get("Stream", {}), "StreamColumn")):
        if column in definitions and "columns" in owner.get("properties", {}):
            owner["properties"]["columns"] = {"type": "object", "additionalProperties": {"anyOf": [{"$ref": f"#/$defs/{column}"}, *text_or_null]}}
    if "Stream" in definitions:
        properties = definitions["Stream"]["properties"]
        properties["cursor"] = {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/Cursor"}]}
        properties["schema_contract"] = {"anyOf": [{"enum": ["enforced", "evolve", "agnostic"]}, {"$ref": "#/$defs/SchemaContract"}]}
        schema["properties"]["streams"] = {"type": "object", "additionalProperties": {"anyOf": [{"$ref": "#/$defs/Stream"}, {"type": "null"}]}}
    if "GivenTable" in definitions:
        rows = {"type": "array", "items": {"type": "object"}}
        schema["properties"]["given"] = {
            "type": "object",
            "additionalProperties": {"anyOf": [rows, {"type": "null"}, {"$ref": "#/$defs/GivenTable"}]},
        }


def _policy_forms(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """What is made when a file of policies is read: an action as the key of a grant or denial, patterns, masks, and what may be left empty."""
    for name in ("TablePattern", "LabelPattern", "Mask"):
        definitions.pop(name, None)
    definitions["Pattern"] = {
        "anyOf": [
            {"type": "string", "pattern": r"^([^.]+\.[^.]+|\*)$"},
            {"type": "object", "additionalProperties": False, "required": ["label"], "properties": {"label": {"type": "string"}}},
        ]
    }
    definitions["Patterns"] = {"anyOf": [{"$ref": "#/$defs/Pattern"}, {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/Pattern"}}]}
    definitions["Mask"] = _mask_schema()
    for name in ("Grant", "Deny"):
        right = definitions[name]
        right["properties"] = {**{action: {"$ref": "#/$defs/Patterns"} for action in ACTIONS}, **right["properties"]}
        right.pop("required", None)
        right["oneOf"] = [{"required": [action]} for action in ACTIONS]
    definitions["Deny"]["anyOf"] = [{"required": [whom]} for whom in ("role", "group", "user")]
    properties = schema["properties"]
    for key, name in (("roles", "Role"), ("groups", "Group")):
        properties[key] = {"type": ["object", "null"], "additionalProperties": {"anyOf": [{"$ref": f"#/$defs/{name}"}, {"type": "null"}]}}
    properties["masks"] = {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/Mask"}}


def _export_forms(schema: dict[str, Any], definitions: dict[str, Any]) -> None:
    """A destination as one name with its settings, columns as a list or with other names."""
    properties = definitions["Export"]["properties"]
    properties["to"] = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {name: {"$ref": f"#/$defs/{target.__name__}"} for name, target in TARGETS.items()},
    }
    names = {"type": "array", "items": {"type": "string"}}
    text = {"type": "string"}
    column = {"type": "object", "additionalProperties": False, "properties": {"to": text, "renamed_from": text}}
    properties["columns"] = {"anyOf": [{"type": "object", "additionalProperties": {"anyOf": [{"type": ["string", "null"]}, column]}}, names]}
    definitions["Export"]["required"] = ["table", "as", "to"]
    schema["properties"]["exports"] = {"type": ["object", "null"], "additionalProperties": {"$ref": "#/$defs/Export"}}


def _mask_schema() -> dict[str, Any]:
    """A mask as a word, YAML's own null, or a kind with its argument."""
    number: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0}
    prefix = {"type": "object", "additionalProperties": False, "required": ["prefix"], "properties": {"prefix": {"type": "integer", "minimum": 0}}}
    arguments: dict[str, Any] = {
        "generalise": {"anyOf": [{"enum": list(DATE_PARTS)}, number, prefix]},
        "noise": {**number, "maximum": 1},
        "partial": {"enum": list(PARTIAL_FORMS)},
    }
    forms = [
        {"type": "object", "additionalProperties": False, "required": [kind], "properties": {kind: argument}} for kind, argument in arguments.items()
    ]
    words = [kind for kind in MASK_KINDS if kind not in ("generalise", "noise")]
    return {"anyOf": [{"enum": [*words, None]}, *forms]}


def _checks_schema() -> dict[str, Any]:
    return {"anyOf": [{"type": "array", "items": {"$ref": "#/$defs/Check"}}, {"type": "null"}]}


def _check_schema() -> dict[str, Any]:
    """A check as a word, or as one name with a bare value or with its arguments, severity and tolerance beside it or among them."""
    beside = _arguments_schema(CHECK_TYPES["not_null"], optional=set())["properties"]
    forms: list[dict[str, Any]] = [{"enum": sorted(CHECK_TYPES)}]
    for name in CHECK_TYPES:
        values: list[dict[str, Any]] = [{"$ref": f"#/$defs/check.{name}"}]
        if name in CHECK_SHORT_FORMS:
            values.append({"not": {"type": "object"}})
        forms.append(
            {
                "type": "object",
                "additionalProperties": False,
                "required": [name],
                "properties": {name: {"anyOf": values}, "severity": beside["severity"], "tolerance": beside["tolerance"]},
            }
        )
    return {"anyOf": forms}


def _kind_schema() -> dict[str, Any]:
    forms: list[dict[str, Any]] = [{"enum": ["table", "view"]}]
    for name in KINDS:
        forms.append({"type": "object", "additionalProperties": False, "required": [name], "properties": {name: {"$ref": f"#/$defs/kind.{name}"}}})
    return {"anyOf": forms, "description": FIELD_TEXTS["ModelHeader"]["kind"]}


def _arguments_schema(model: type[BaseModel], *, optional: set[str]) -> dict[str, Any]:
    """The mapping of a check's or kind's own arguments."""
    schema = copy.deepcopy(model.model_json_schema(mode="validation"))
    schema["properties"] = {key: value for key, value in schema["properties"].items() if key != "type"}
    required = [key for key in schema.get("required", []) if key not in optional]
    schema.pop("required", None)
    if required:
        schema["required"] = required
    _allow_references(schema["properties"])
    return schema


def _describe(name: str, schema: dict[str, Any]) -> None:
    texts = FIELD_TEXTS.get(name, {})
    for key, value in schema["properties"].items():
        value.pop("title", None)
        if key in texts:
            value["description"] = texts[key]


def _allow_references(properties: dict[str, Any]) -> None:
    """`${var:..}` and its like are allowed wherever a number, a truth value or one of some words is."""
    for key, value in properties.items():
        if value.get("type") in ("integer", "number", "boolean") or "enum" in value:
            described = {name: value.pop(name) for name in ("description", "title", "default") if name in value}
            properties[key] = {**described, "anyOf": [value, _REFERENCE]}
        elif "anyOf" in value:
            types = {part.get("type") for part in value["anyOf"]}
            if types & {"integer", "number", "boolean"} and "string" not in types:
                value["anyOf"].append(_REFERENCE)
