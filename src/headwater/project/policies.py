"""`policies/*.yaml`: all files made into one `Policies`, and held against the project's tables."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headwater.engine import parse_tree, tables_named, with_room
from headwater.errors import Location, SqlSyntaxError
from headwater.project.documents import Document, read_document
from headwater.project.files import ProjectFile
from headwater.project.links import Defined, Linker
from headwater.project.problems import Locate, Report, keys_of, nearest, nearest_table
from headwater.project.resources import apart, place_in, validate
from headwater.project.variables import VarValue
from headwater.spec.names import SYSTEM_SCHEMA, ColumnName, TableName
from headwater.spec.policies import (
    ACTIONS,
    MASK_KINDS,
    Deny,
    Grant,
    LabelPattern,
    Mask,
    Network,
    Policies,
    PolicyFile,
    TablePattern,
    covers,
    parse_mask,
    parse_pattern,
)

_FORM = "roles:, groups:, masks:, deny:, declassify:, influence:, network:"
_Path = tuple[str | int, ...]
_REFERENCE = re.compile(r"\$\{(?:env|file|secret):")


@dataclass(frozen=True, slots=True)
class ReadPolicies:
    """All files together, and where each of their parts stands, by its path in `policies`: ("roles", "analyst"), ("deny", 0)."""

    policies: Policies = field(default_factory=Policies)
    places: Mapping[_Path, tuple[Document, _Path]] = field(default_factory=dict)

    def place(self, path: _Path, at_key: bool = False) -> Location:
        """Where a part, or something in it, is written."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.places:
                document, within = self.places[path[:length]]
                return document.locate([*within, *path[length:]], at_key)
        raise KeyError(path)


def read_policies(files: Iterable[ProjectFile], values: Mapping[str, VarValue], report: Report) -> ReadPolicies:
    """The policies that files define together. What is wrong with them, and what two of them define, goes to the report."""
    union = _Union(report)
    for file in files:
        document = read_document(file.text, file.path, report, values=values) if file.is_readable else None
        if document is None or document.value is None:
            continue
        if not isinstance(document.value, dict):
            report.add("bad-value", "a file of policies is a mapping", document.locate(), expected=_FORM)
            continue
        written: dict[_Path, _Path] = {}
        parsed = _read(document.value, document, report, written)
        if parsed is not None:
            union.add(parsed, document, written)
    return union.made()


def policy_version(policies: PolicyFile) -> str:
    """A hash of what policies say, however it is spread over files and wherever it is written."""
    content = policies.model_dump(mode="json", by_alias=True, exclude={"version"})
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


# -- one file --------------------------------------------------------------------------------------------------------


def _read(data: dict[str, Any], document: Document, report: Report, written: dict[_Path, _Path]) -> PolicyFile | None:
    """One file's policies. Grants, denials, patterns and masks are made first, each mistake told in its own words; `written` is told where those
    stand in the file that are left of a list."""
    _refuse_references(data, (), document, report)
    prepared = dict(data)
    for key in ("roles", "groups", "masks"):
        if key in prepared and prepared[key] is None:
            prepared[key] = {}
    for key in ("deny", "declassify"):
        if key in prepared and prepared[key] is None:
            prepared[key] = ()
    if isinstance(prepared.get("roles"), dict):
        prepared["roles"] = {name: _role(name, role, document, report, written) for name, role in prepared["roles"].items()}
    if isinstance(prepared.get("groups"), dict):
        prepared["groups"] = {name: {} if group is None else group for name, group in prepared["groups"].items()}
    if isinstance(prepared.get("masks"), dict):
        masks = {name: _mask(value, place_in(document, ("masks", name)), report) for name, value in prepared["masks"].items()}
        prepared["masks"] = {name: mask for name, mask in masks.items() if mask is not None}
    if isinstance(prepared.get("deny"), list):
        prepared["deny"] = _rights(Deny, prepared["deny"], ("deny",), document, report, written)
    parsed = validate(PolicyFile, prepared, place_in(document), report, "the policies")
    return parsed if isinstance(parsed, PolicyFile) else None


def _refuse_references(value: Any, path: _Path, document: Document, report: Report) -> None:
    """What policies say must be the same for everyone who reads them: it can't hang on an environment variable or a secret."""
    if isinstance(value, str) and _REFERENCE.search(value):
        report.add("bad-value", "policies are read as they are written", document.locate(path), expected="no reference but ${var:NAME}")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_references(item, (*path, key), document, report)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_references(item, (*path, index), document, report)


def _role(name: str, role: Any, document: Document, report: Report, written: dict[_Path, _Path]) -> Any:
    if role is None:
        return {}
    if not isinstance(role, dict) or not isinstance(role.get("grants"), list):
        return {key: value for key, value in role.items() if key != "grants" or value is not None} if isinstance(role, dict) else role
    return {**role, "grants": _rights(Grant, role["grants"], ("roles", name, "grants"), document, report, written)}


def _rights(
    model: type[Grant | Deny], items: list[Any], path: _Path, document: Document, report: Report, written: dict[_Path, _Path]
) -> tuple[Any, ...]:  # fmt: skip
    found: list[Any] = []
    for index, item in enumerate(items):
        right = _right(model, item, place_in(document, (*path, index)), report)
        if right is not None:
            written[(*path, len(found))] = (*path, index)
            found.append(right)
    return tuple(found)


def _right(model: type[Grant | Deny], item: Any, locate: Locate, report: Report) -> Any:
    """A grant or denial from `{select: marts.*, ..}`; None, with its mistakes told, when it isn't one."""
    subject = "a grant" if model is Grant else "a denial"
    if not isinstance(item, dict):
        report.add("bad-value", f"{subject} is a mapping", locate([], False), expected="an action with what it is on, such as `select: marts.*`")
        return None
    actions = [key for key in item if key in ACTIONS]
    if not actions:
        known = keys_of(model)
        stray = next((key for key in item if key not in known), None)
        guess = nearest(stray, ACTIONS) if stray is not None else None
        place = locate([stray], True) if stray is not None and guess is not None else locate([], False)
        report.add("missing-key", f"{subject} says no action", place, expected=f"one of {', '.join(ACTIONS)}", did_you_mean=guess)
        return None
    if len(actions) > 1:
        report.add("bad-value", f"{subject} has one action, and here are {' and '.join(actions)}", locate([actions[1]], True), expected="one each")
        return None
    action = actions[0]
    on = _patterns(item[action], action, locate, report)
    rest = {key: value for key, value in item.items() if key != action}
    stray = next((key for key in ("action", "on") if key in rest), None)
    if stray is not None:
        report.add("unknown-key", f"there is no key {stray!r} here", locate([stray], True), expected=f"one of {', '.join(keys_of(model))}")
        return None
    return None if on is None else validate(model, {**rest, "action": action, "on": on}, locate, report, "")


def _patterns(value: Any, action: str, locate: Locate, report: Report) -> tuple[TablePattern | LabelPattern, ...] | None:
    items = value if isinstance(value, list) else [value]
    found = []
    for index, item in enumerate(items):
        try:
            found.append(parse_pattern(item))
        except ValueError as error:
            message, expected = apart(str(error))
            report.add("bad-pattern", message, locate([action, index] if isinstance(value, list) else [action], False), expected=expected)
            return None
    if not found:
        report.add("bad-pattern", f"{action} is on no table", locate([action], False), expected="schema.table, schema.*, or {label: pii.email}")
        return None
    return tuple(found)


def _mask(value: Any, locate: Locate, report: Report) -> Mask | None:
    try:
        mask = parse_mask(value)
    except ValueError as error:
        message, expected = apart(str(error))
        kind = next(iter(value), None) if isinstance(value, dict) else value
        guess = nearest(kind, MASK_KINDS) if isinstance(kind, str) and kind not in MASK_KINDS else None
        report.add("bad-mask", message, locate([], False), expected=expected, did_you_mean=guess)
        return None
    return mask if isinstance(mask, Mask) else None


# -- all files -------------------------------------------------------------------------------------------------------


class _Union:
    """Puts files together; what two of them define goes to the report."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._named: dict[str, dict[str, Any]] = {"roles": {}, "groups": {}, "masks": {}}
        self._listed: dict[str, list[Any]] = {"deny": [], "declassify": []}
        self._network: dict[str, dict[str, tuple[str, ...]]] = {"doors": {}, "users": {}, "roles": {}}
        self._has_influence = False
        self._places: dict[_Path, tuple[Document, _Path]] = {}
        self._first: dict[_Path, tuple[str, _Path]] = {}

    def add(self, parsed: PolicyFile, document: Document, written: Mapping[_Path, _Path]) -> None:
        for kind, known in self._named.items():
            for name, value in getattr(parsed, kind).items():
                # columns are named without regard to case, and labels that differ by case alone are a mistake
                same = (kind, name.lower() if kind == "masks" else name)
                if self._is_new(same, f"the {kind[:-1]} {name}", document, (kind, name)):
                    known[name] = value
                    self._places[(kind, name)] = (document, (kind, name))
                    self._places |= {path: (document, place) for path, place in written.items() if path[:2] == (kind, name)}
        for kind, items in self._listed.items():
            for index, value in enumerate(getattr(parsed, kind)):
                self._places[(kind, len(items))] = (document, written.get((kind, index), (kind, index)))
                items.append(value)
        for kind, addresses in self._network.items():
            for name, networks in getattr(parsed.network, kind).items():
                path = ("network", kind, name)
                if self._is_new(path, f"where {name} may come from", document, path):
                    addresses[name] = networks
                    self._places[path] = (document, path)
        self._has_influence |= parsed.influence

    def _is_new(self, same: _Path, subject: str, document: Document, path: _Path) -> bool:
        first = (document.path, path)
        other = self._first.setdefault(same, first)
        if other == first:
            return True
        said = "here" if other[0] == document.path else f"in {other[0]}"
        self._report.add("duplicate-policy", f"{subject} is defined {said} too", document.locate(path, True), expected="one definition")
        return False

    def made(self) -> ReadPolicies:
        policies = Policies(**self._named, **self._listed, influence=self._has_influence, network=Network.model_validate(self._network))
        return ReadPolicies(policies.model_copy(update={"version": policy_version(policies)}), self._places)


# -- against the project ---------------------------------------------------------------------------------------------


def check_policies(read: ReadPolicies, defined: Sequence[Defined], labels: Iterable[str], linker: Linker, report: Report) -> None:
    """Roles and tables that policies name must be there, and row filters be conditions; what matches nothing is warned of.

    `defined` are all tables, also those whose definition has mistakes; `labels` all that columns are given.
    """
    _Checker(read, defined, labels, linker, report).check()


class _Checker:
    def __init__(self, read: ReadPolicies, defined: Sequence[Defined], labels: Iterable[str], linker: Linker, report: Report) -> None:
        self._read = read
        self._policies = read.policies
        self._tables = [one.table for one in defined]
        self._streams = {one.table for one in defined if one.kind == "stream"}
        self._labels = sorted(labels)
        self._linker = linker
        self._report = report

    def check(self) -> None:
        for name, group in self._policies.groups.items():
            for index, role in enumerate(group.roles):
                self._check_role(role, f"the group {name}", ("groups", name, "roles", index))
        for name in self._policies.network.roles:
            self._check_role(name, "network", ("network", "roles", name), at_key=True)
        for name, role_of in self._policies.roles.items():
            for index, grant in enumerate(role_of.grants):
                self._check_grant(name, grant, ("roles", name, "grants", index))
        for index, deny in enumerate(self._policies.deny):
            self._check_deny(deny, ("deny", index))
        for name in self._policies.masks:
            self._check_mask(name)
        for index, entry in enumerate(self._policies.declassify):
            self._check_declassifier(entry.column, entry.labels, ("declassify", index))

    def _check_role(self, role: str, subject: str, path: _Path, *, at_key: bool = False) -> None:
        if role not in self._policies.roles:
            self._report.add(
                "unknown-role",
                f"{subject} names the role {role}, and there is no such role",
                self._read.place(path, at_key),
                did_you_mean=nearest(role, self._policies.roles),
            )

    # -- grants and denials --------------------------------------------------------------------------------------

    def _check_grant(self, role: str, grant: Grant, path: _Path) -> None:
        self._check_patterns(grant.on, f"the role {role}", grant.action, path)
        for label in grant.unmask:
            if not self._is_carried(label) and self._table_of(label) is None:
                self._note_label(label, f"the role {role} unmasks", (*path, "unmask"))
        if grant.where is not None:
            self._check_condition(grant.where, f"the row filter of the role {role}", (*path, "where"))
        beating = next((deny for deny in self._policies.deny if self._beats(deny, role, grant)), None)
        if beating is not None:
            self._report.add(
                "denied-grant",
                f"the role {role} is granted {grant.action} on {_listed(grant.on)}, and denied all of it ({_listed(beating.on)})",
                self._read.place((*path, grant.action), True),
                severity="warning",
            )

    def _beats(self, deny: Deny, role: str, grant: Grant) -> bool:
        """Whether a denial leaves nothing of a grant, for all who have it."""
        if deny.role != role or deny.action != grant.action:
            return False
        if deny.columns and not (grant.columns and {name.lower() for name in grant.columns} <= {name.lower() for name in deny.columns}):
            return False
        return all(self._is_under(pattern, deny.on) for pattern in grant.on)

    def _is_under(self, pattern: TablePattern | LabelPattern, others: Sequence[TablePattern | LabelPattern]) -> bool:
        if isinstance(pattern, LabelPattern):
            return any(isinstance(other, LabelPattern) and other.matches(pattern.label) for other in others)
        meant = [table for table in self._tables if pattern.matches(table)]
        return bool(meant) and all(any(isinstance(other, TablePattern) and other.matches(table) for other in others) for table in meant)

    def _check_deny(self, deny: Deny, path: _Path) -> None:
        if deny.role is not None:
            self._check_role(deny.role, "a denial", (*path, "role"))
        if deny.group is not None and deny.group not in self._policies.groups:
            guess = nearest(deny.group, self._policies.groups)
            self._report.add(
                "unknown-group",
                f"a denial names the group {deny.group}, which no policy defines: it must come from a user or from claims",
                self._read.place((*path, "group")),
                did_you_mean=guess,
                severity="note",
            )
        self._check_patterns(deny.on, "a denial", deny.action, path)

    def _check_patterns(self, patterns: Sequence[TablePattern | LabelPattern], subject: str, action: str, path: _Path) -> None:
        for pattern in patterns:
            at = (*path, action)
            if isinstance(pattern, LabelPattern):
                if not any(pattern.matches(label) for label in self._labels):
                    self._note_label(pattern.label, f"{subject} names", at)
            elif pattern.schema_.lower() != SYSTEM_SCHEMA and not any(pattern.matches(table) for table in self._tables):
                guess = nearest_table(str(pattern), self._tables) if "*" not in str(pattern) else self._nearest_schema(pattern)
                self._report.add(
                    "pattern-matches-nothing", f"{subject}: {pattern} matches no table", self._read.place(at), did_you_mean=guess, severity="warning"
                )

    def _nearest_schema(self, pattern: TablePattern) -> str | None:
        guess = nearest(pattern.schema_, {table.schema for table in self._tables}) if "*" not in pattern.schema_ else None
        return f"{guess}.{pattern.name}" if guess is not None and guess.lower() != pattern.schema_.lower() else None

    def _check_condition(self, text: str, subject: str, path: _Path) -> None:
        place = self._read.place(path)
        try:
            mistake = with_room(lambda: _not_a_condition(text))
            named = sorted(tables_named(f"SELECT 1 WHERE (\n{text}\n)")) if mistake is None else []
        except SqlSyntaxError as error:
            self._report.add("sql-syntax", f"{subject}: {error.found or error.what}", place)
            return
        if mistake is not None:
            self._report.add("bad-condition", f"{subject}: {mistake}", place, expected="one condition over the table's own columns")
        for parts in named:
            if self._linker.find(parts) is None:
                self._linker.complain(parts, place, subject)

    # -- labels --------------------------------------------------------------------------------------------------

    def _check_mask(self, name: str) -> None:
        if self._is_carried(name) or self._table_of(name) is not None:
            return
        table = _table_named(name)
        if table is None or table.schema.lower() not in {known.schema.lower() for known in self._tables}:
            self._note_label(name, "a mask is for", ("masks", name), at_key=True)
            return
        self._report.add(
            "unknown-policy-column",
            f"a mask is for {name}: there is no table {table}, and no column with such a label",
            self._read.place(("masks", name), True),
            did_you_mean=nearest_table(str(table), self._tables),
            severity="warning",
        )

    def _check_declassifier(self, column: str, labels: Sequence[str], path: _Path) -> None:
        table = self._table_of(column)
        place = self._read.place((*path, "column"))
        if table is None:
            guess = nearest_table(str(ColumnName.parse(column).table), self._tables)
            self._report.add("unknown-table", f"declassify names {column}, and there is no such table", place, did_you_mean=guess)
        elif table in self._streams:
            self._report.add(
                "bad-value",
                f"declassify names {column}, a column of a stream: it has the labels that its source's file gives it",
                place,
                expected="a column of a model",
            )
        for label in labels:
            if not self._is_carried(label):
                self._note_label(label, "declassify ends", (*path, "labels"))

    def _is_carried(self, label: str) -> bool:
        """Whether a rule about `label` is about a label that some column has."""
        return any(covers(label, carried) for carried in self._labels)

    def _table_of(self, name: str) -> TableName | None:
        """The table when `name` is that of a column."""
        table = _table_named(name)
        return None if table is None else self._linker.find((table.schema, table.name))

    def _note_label(self, label: str, subject: str, path: _Path, *, at_key: bool = False) -> None:
        self._report.add(
            "label-not-carried",
            f"{subject} {label}, a label that no column is given",
            self._read.place(path, at_key),
            did_you_mean=nearest(label, self._labels),
            severity="note",
        )


def _table_named(name: str) -> TableName | None:
    """The table of `schema.table.column`."""
    try:
        return ColumnName.parse(name).table
    except ValueError:
        return None


def _listed(patterns: Sequence[TablePattern | LabelPattern]) -> str:
    return ", ".join(map(str, patterns))


def _not_a_condition(text: str) -> str | None:
    """What keeps SQL from being one condition, or None. Raises SqlSyntaxError."""
    tree = parse_tree(f"SELECT 1 WHERE\n{text}\n")
    parse_tree(f"SELECT 1 WHERE (\n{text}\n)")  # refuses what comes after a condition: LIMIT, UNION, ..
    if tree is None or len(tree["statements"]) != 1:
        return "it is more than a condition"
    root = tree["statements"][0]["node"]["where_clause"]
    if root["class"] == "CONSTANT" and root["value"]["type"]["id"] != "BOOLEAN":
        return "it is a value, and neither true nor false"
    words = {"PARAMETER": "it has a parameter, and nobody gives it one", "WINDOW": "it looks at other rows with a window function",
             "STAR": "it has a * in the place of a column"}  # fmt: skip
    return next((words[kind] for kind in _classes(root) if kind in words), None)


def _classes(node: Any) -> Iterable[str]:
    """The classes of expressions outside of subqueries, but for parameters, which count everywhere."""
    if isinstance(node, list):
        for item in node:
            yield from _classes(item)
    elif isinstance(node, dict):
        if "class" in node:
            yield node["class"]
        if node.get("class") == "SUBQUERY":
            yield from (kind for value in node.values() for kind in _classes(value) if kind == "PARAMETER")
        else:
            for value in node.values():
                yield from _classes(value)
