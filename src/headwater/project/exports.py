"""`exports/*.yaml`: which tables leave the lake, and where to."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from pydantic import BaseModel

from headwater.errors import Location
from headwater.project.documents import Document, read_document
from headwater.project.files import ProjectFile
from headwater.project.problems import Report, keys_of, nearest, nearest_table
from headwater.project.resources import place_in, validate
from headwater.project.variables import VarValue
from headwater.spec.exports import TARGETS, Export
from headwater.spec.names import OWNER_NAME, TableName
from headwater.spec.policies import LabelPattern, Policies

_GROUP: Final = "headwater.destinations"
_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")


def read_exports(files: Iterable[ProjectFile], values: Mapping[str, VarValue], tables: Collection[TableName], report: Report) -> dict[str, Export]:
    """All exports by name. `tables` are those of the project, also with mistakes of their own. What is wrong goes to the report."""
    found: dict[str, Export] = {}
    renamed: list[tuple[Export, Location]] = []
    for file in files:
        document = read_document(file.text, file.path, report, values=values) if file.is_readable else None
        if document is None or document.value is None:
            continue
        data = document.value
        if not isinstance(data, dict) or not isinstance(data.get("exports") or {}, dict):
            report.add("bad-value", "a file of exports is a mapping", document.locate(), expected="`exports:` with a name for each")
            continue
        for key in data:
            if key != "exports":
                guess = nearest(str(key), ["exports"])
                report.add("unknown-key", f"there is no key {str(key)!r} here", document.locate([key], True), expected="exports", did_you_mean=guess)
        for name, value in (data.get("exports") or {}).items():
            export = _read(str(name), value, document, tables, report)
            if export is None:
                continue
            other = next((one for one in found.values() if one.name.lower() == export.name.lower()), None)
            if other is not None:
                place = document.locate(["exports", name], True)
                report.add("duplicate-export", f"the export {name} is defined in {other.path} too", place, expected="one definition")
                continue
            found[export.name] = export
            if export.renamed_from is not None:
                renamed.append((export, document.locate(["exports", name, "renamed_from"])))
    _check_renames(found, renamed, report)
    return found


def _check_renames(exports: Mapping[str, Export], renamed: Iterable[tuple[Export, Location]], report: Report) -> None:
    """`renamed_from` names an export that is gone, and no two exports take over the same one."""
    names = {name.lower() for name in exports}
    heirs: dict[str, str] = {}
    for export, place in renamed:
        former = str(export.renamed_from)
        if former.lower() in names:
            what = f"the export {export.name} is renamed from {former}, and {former} is still defined"
            report.add("bad-rename", what, place, expected="the name of an export that is gone")
        elif former.lower() in heirs:
            what = f"the exports {export.name} and {heirs[former.lower()]} are both renamed from {former}"
            report.add("bad-rename", what, place, expected="one heir")
        heirs.setdefault(former.lower(), export.name)


def check_exports(exports: Mapping[str, Export], policies: Policies, report: Report) -> None:
    """Warns of exports that no grant allows."""
    for export in exports.values():
        grants = [grant for role in policies.roles.values() for grant in role.grants if grant.action == "export"]
        is_named = any(isinstance(pattern, LabelPattern) or pattern.matches(export.table_name) for grant in grants for pattern in grant.on)
        if export.as_ != OWNER_NAME and not is_named:
            report.add(
                "export-not-granted",
                f"the export {export.name} goes as {export.as_}, and no role may export {export.table}",
                Location(export.path),
                expected=f"a role with `export: {export.table}` in policies/",
                severity="warning",
            )


def _read(name: str, value: Any, document: Document, tables: Collection[TableName], report: Report) -> Export | None:
    place = place_in(document, ("exports", name))
    before = len(report.errors)
    if not _NAME.fullmatch(name):
        report.add("bad-name", f"{name!r} can't be an export's name", place([], True), expected="letters, digits, _ and -, a letter first")
    if not isinstance(value, dict):
        report.add("bad-value", f"the export {name} is a mapping", place([], True), expected="`table:`, `as:` and `to:`")
        return None
    for key in ("options", "name", "path", "former_columns"):
        if key in value:
            report.add("unknown-key", f"there is no key {key!r} here", place([key], True), expected=f"one of {', '.join(keys_of(Export))}")
            value = {other: item for other, item in value.items() if other != key}
    prepared: dict[str, Any] = {**value, "name": name, "path": document.path}
    if "to" in value:
        prepared.pop("to")
        target = _target(name, value["to"], document, report)
        if target is None:
            prepared["to"] = ""  # its mistake is told: the rest is looked at all the same
        else:
            prepared["to"], prepared["options"] = target
    export = validate(Export, prepared, place, report, f"the export {name}")
    if not isinstance(export, Export):
        return None
    table = next((one for one in tables if one.key == export.table_name.key), None)
    if table is None:
        guess = nearest_table(export.table, tables)
        report.add("unknown-table", f"there is no table {export.table}", place(["table"], False), did_you_mean=guess)
    return export if len(report.errors) == before else None


def _target(name: str, value: Any, document: Document, report: Report) -> tuple[str, dict[str, Any]] | None:
    """The destination's type and its options, from `{postgres: {..}}`; None with the mistake told."""
    place = place_in(document, ("exports", name, "to"))
    installed = [point.name for point in entry_points(group=_GROUP)]
    known = list(dict.fromkeys([*TARGETS, *installed]))
    if not isinstance(value, dict) or len(value) != 1:
        report.add(
            "bad-value", f"the export {name} goes to one destination", place([], False), expected=f"one of {', '.join(known)}, with its settings"
        )
        return None
    kind, options = next(iter(value.items()))
    if kind not in known:
        report.add(
            "unknown-destination",
            f"there is no destination {str(kind)!r}",
            place([kind], True),
            expected=f"one of {', '.join(known)}, or the package that brings it installed",
            did_you_mean=nearest(str(kind), known),
        )
        return None
    model = TARGETS.get(kind)
    options = {} if options is None else options
    if not isinstance(options, dict):
        report.add("bad-value", f"the settings of {kind} are a mapping", place([kind], False), expected=_keys(model))
        return None
    if model is None:
        return kind, options
    # what a reference stands for is seen at connect only: where a word or number is wanted it must stand for itself
    checked = validate(model, options, place_in(document, ("exports", name, "to", kind)), report, f"the destination {kind}")
    return (kind, checked.model_dump(exclude_unset=True)) if checked is not None else None


def _keys(model: type[BaseModel] | None) -> str:
    return f"one of {', '.join(keys_of(model))}" if model is not None else "its settings"
