"""YAML read with positions. YAML 1.2's core words: `NO` is text, `true` and `false` are the only booleans, a key stands once."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from headwater.errors import Location
from headwater.project.problems import Report
from headwater.project.variables import VarValue, substitute, whole_var

_BaseLoader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

_TAG = "tag:yaml.org,2002:"
_STR, _INT, _FLOAT, _BOOL, _NULL = (_TAG + name for name in ("str", "int", "float", "bool", "null"))
_TIMESTAMP, _MERGE, _MAP, _SEQ = (_TAG + name for name in ("timestamp", "merge", "map", "seq"))


class _Loader(_BaseLoader):  # type: ignore[misc]  # the C loader where libyaml is there, else Python's
    """Composes nodes with YAML 1.2's idea of plain words."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}


for _tag, _pattern, _first in (
    (_BOOL, r"^(?:true|True|TRUE|false|False|FALSE)$", "tTfF"),
    (_INT, r"^[-+]?[0-9]+$|^0o[0-7]+$|^0x[0-9a-fA-F]+$", "-+0123456789"),
    (_FLOAT, r"^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$|^[-+]?\.(?:inf|Inf|INF)$|^\.(?:nan|NaN|NAN)$", "-+.0123456789"),
    (_NULL, r"^(?:~|null|Null|NULL|)$", "~nN\0"),
    (
        _TIMESTAMP,
        r"^\d{4}-\d\d-\d\d$|^\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?(?:[ \t]*(?:Z|[-+]\d\d?(?::?\d\d)?))?$",
        "0123456789",
    ),
    (_MERGE, r"^<<$", "<"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), list(_first))
_Loader.yaml_implicit_resolvers[""] = _Loader.yaml_implicit_resolvers.pop("\0", [])


#: How deep lists and mappings may be nested: far beyond any definition, far within the interpreter's stack.
_DEEPEST = 100


class Document:
    """One YAML text as plain values (`value`), with the place of every key and item. Problems go to the report it was read with."""

    def __init__(self, path: str, value: Any, root: yaml.Node | None, first_line: int, widths: Sequence[int]) -> None:
        self.path = path
        self.value = value
        self._root = root
        self._first_line = first_line
        self._widths = widths

    def locate(self, path: Sequence[str | int] = (), at_key: bool = False) -> Location:
        """The place of a value, given as keys and indexes from the root; as near as the file goes. `at_key` for the key instead."""
        node, place = self._root, self._root
        for part in path:
            found = _child(node, part)
            if found is None:
                break
            key, node = found
            is_block = isinstance(node, (yaml.MappingNode, yaml.SequenceNode)) and not node.flow_style
            # a block's own start is its first entry, so its key says more
            place = key if key is not None and (at_key or is_block or _is_empty(node)) else node
        return self._at(place.start_mark.line, place.start_mark.column) if place is not None else self._at(0, 0)

    def line_of(self, path: Sequence[str | int] = ()) -> int:
        return self.locate(path).line or 1

    def _at(self, line: int, column: int) -> Location:
        width = self._widths[line] if line < len(self._widths) else 0
        return Location(self.path, self._first_line + line, column + width + 1)


def _is_empty(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.value == ""


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node | None, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key, value
        for key, value in node.value:
            if key.tag == _MERGE:
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    found = _child(source, part)
                    if found is not None:
                        return found
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return None, node.value[part]
    return None


def read_document(
    text: str,
    path: str,
    report: Report,
    *,
    values: Mapping[str, VarValue] | None = None,
    first_line: int = 1,
    widths: Sequence[int] = (),
) -> Document | None:
    """Parses one YAML document; None (and a problem in the report) when it isn't one. An empty text is an empty mapping.

    `values` are the vars put into `${var:..}` (None leaves them as they are). `first_line` and `widths` place the text in its file: its first
    line's number, and how many characters were taken off the front of each line.
    """
    document = Document(path, {}, None, first_line, widths)
    try:
        root = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        location = document._at(mark.line, mark.column) if mark else Location(path)
        report.add("invalid-yaml", f"this is not valid YAML: {error.problem or error.context}", location, expected=_yaml_hint(error, text))
        return None
    except yaml.reader.ReaderError as error:
        before = text[: error.position] if isinstance(error.position, int) else ""
        location = document._at(before.count("\n"), len(before) - before.rfind("\n") - 1)
        report.add("invalid-yaml", f"this is not valid YAML: the character U+{_code(error.character):04X} can't stand in it", location)
        return None
    if root is None:
        return document
    document._root = root
    document.value = _Converter(document, report, values).convert(root)
    return document


def _code(character: Any) -> int:
    return character if isinstance(character, int) else ord(character)


def _yaml_hint(error: yaml.MarkedYAMLError, text: str) -> str | None:
    problem, mark = error.problem or "", error.problem_mark
    line = text.split("\n")[mark.line] if mark is not None and mark.line <= text.count("\n") else ""
    if mark is not None and line[mark.column : mark.column + 1] == "\t":
        return "spaces for indentation, not tabs"
    if "mapping values are not allowed" in problem:
        return "quotes around a text that holds ': '"
    return None


class _Converter:
    def __init__(self, document: Document, report: Report, values: Mapping[str, VarValue] | None) -> None:
        self._document = document
        self._report = report
        self._values = values
        self._done: dict[int, Any] = {}
        self._open: set[int] = set()

    def convert(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) in self._done:
            return self._done[id(node)]
        if id(node) in self._open:
            self._problem(node, "invalid-yaml", "an alias stands inside what it stands for")
            return None
        if len(self._open) == _DEEPEST:
            self._problem(node, "invalid-yaml", f"lists and mappings are nested more than {_DEEPEST} deep")
            return None
        self._open.add(id(node))
        value: Any
        if isinstance(node, yaml.SequenceNode):
            value = [self.convert(item) for item in node.value]
        else:
            value = self._mapping(node)
        self._open.discard(id(node))
        self._done[id(node)] = value
        return value

    def _mapping(self, node: Any) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if key.tag == _MERGE:
                for source in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    content = self.convert(source)
                    if isinstance(content, dict):
                        merged = {**content, **merged}
                    else:
                        self._problem(source, "invalid-yaml", "only a mapping can be merged with <<")
            elif not isinstance(key, yaml.ScalarNode):
                self._problem(key, "invalid-yaml", "a key is a word, not a list or mapping")
            elif key.value in own:
                self._problem(key, "duplicate-key", f"the key {key.value!r} stands here twice")
            else:
                own[key.value] = self.convert(value)
        return {**merged, **own} if merged else own

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        if node.tag == _STR:
            return self._with_vars(node, text) if self._values is not None and "${" in text else text
        if node.tag == _NULL:
            return None
        try:
            if node.tag == _INT:
                return int(text, 0) if text.startswith(("0x", "0o")) else int(text)
            if node.tag == _FLOAT:
                return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf").lower().replace(".nan", "nan"))
            if node.tag == _BOOL:
                return text.lower() == "true"
            if node.tag == _TIMESTAMP:
                return _timestamps().construct_yaml_timestamp(node)
        except ValueError:
            self._problem(node, "bad-value", f"{text!r} is no valid {node.tag.rpartition(':')[2]}")
            return None
        self._problem(node, "invalid-yaml", f"the tag {node.tag.replace(_TAG, '!!')} has no meaning here")
        return None

    def _with_vars(self, node: yaml.ScalarNode, text: str) -> Any:
        values = self._values or {}
        is_plain = not node.style
        if is_plain:
            value = whole_var(text, values)
            if value is not None:
                return value

        def complain(offset: int, message: str, guess: str | None) -> None:
            place = self._document._at(node.start_mark.line, node.start_mark.column + (offset if "\n" not in text[:offset] and is_plain else 0))
            self._report.add("unknown-var", message, place, did_you_mean=guess)

        return substitute(text, values, complain, allow_secrets=True).text

    def _problem(self, node: yaml.Node, rule: str, message: str) -> None:
        self._report.add(rule, message, self._document._at(node.start_mark.line, node.start_mark.column))


_constructors: list[Any] = []


def _timestamps() -> Any:
    if not _constructors:
        _constructors.append(yaml.constructor.SafeConstructor())
    return _constructors[0]


def read_text(file: Path, path: str, report: Report) -> str | None:
    """A file's text: UTF-8, a byte order mark dropped, line ends as `\\n`. None and a problem when it isn't UTF-8 or can't be read."""
    try:
        raw = file.read_bytes()
    except OSError as error:
        report.add("unreadable-file", f"the file can't be read: {error.strerror or error}", Location(path))
        return None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        location = Location(path, before.count(b"\n") + 1, error.start - before.rfind(b"\n"))
        report.add("not-utf8", "the file holds bytes that aren't UTF-8", location, expected="a file saved as UTF-8")
        return None
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
