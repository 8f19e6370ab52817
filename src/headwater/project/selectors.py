"""Selectors: `marts.revenue`, `+x`, `2+x+`, `staging.*+`, `source:shop.orders`, `export:crm`, `tag:daily`, `path:models/marts`,
`state:modified`, `result:error`.

Several selectors unite; a comma inside one intersects: `tag:daily,+marts.revenue`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from types import MappingProxyType

from headwater.errors import UnknownSelection
from headwater.project.graph import Graph
from headwater.project.problems import nearest, nearest_table
from headwater.spec.names import TableName

_METHODS = ("source", "export", "tag", "path", "state", "result")
_STATES = ("modified", "new", "unchanged")
_RESULTS = {
    "error": {"failed"},
    "failed": {"failed"},
    "held": {"held"},
    "blocked": {"blocked"},
    "cancelled": {"cancelled"},
    "skipped": {"skipped"},
    "success": {"succeeded"},
    "succeeded": {"succeeded"},
}
_NO_EXPORTS: Mapping[str, TableName] = MappingProxyType({})
_TERM = re.compile(r"^(?:(\d*)(\+))?(.*?)(?:(\+)(\d*))?$", re.DOTALL)
_QUOTED = re.compile(r'"(?:[^"]|"")*"')


@dataclass(frozen=True, slots=True)
class Known:
    """What selectors may ask beside the graph. None where it isn't known: asking for it is an error then.

    `exports` are those of the project, each with the table it sends.
    `deployed` and `fingerprints` decide `state:`; `results` (the newest status of each table's task) decides `result:`.
    """

    exports: Mapping[str, TableName]
    deployed: Mapping[TableName, str] | None = None
    fingerprints: Mapping[TableName, str] | Callable[[TableName], str] | None = None
    results: Mapping[TableName, str] | None = None


def select(
    graph: Graph,
    include: Sequence[str],
    exclude: Sequence[str] = (),
    *,
    exports: Mapping[str, TableName] = _NO_EXPORTS,
    deployed: Mapping[TableName, str] | None = None,
    fingerprints: Mapping[TableName, str] | Callable[[TableName], str] | None = None,
    results: Mapping[TableName, str] | None = None,
) -> tuple[TableName, ...]:
    """The tables selected, in topological order. No `include` selects all.

    `exports` are the project's, each with its table. `deployed` holds the fingerprint of each table as last built, `fingerprints` those of today,
    `results` the status of each table's last task.
    Raises UnknownSelection, with the nearest valid name, for a selector that is malformed or names nothing; only `state:` and `result:` may
    come out empty.
    """
    known = Known(exports, deployed, fingerprints, results)
    chosen: set[TableName] = set(graph.nodes) if not include else set()
    for selector in include:
        chosen |= _evaluate(graph, selector, known)
    for selector in exclude:
        chosen -= _evaluate(graph, selector, known)
    return graph.sort(chosen)


def _evaluate(graph: Graph, selector: str, known: Known) -> set[TableName]:
    terms = _split_commas(selector)
    chosen = _term(graph, terms[0], selector, known)
    for term in terms[1:]:
        chosen &= _term(graph, term, selector, known)
    return chosen


def _split_commas(selector: str) -> list[str]:
    masked = _QUOTED.sub(lambda match: "x" * len(match[0]), selector)
    parts, start = [], 0
    for index, character in enumerate([*masked, ","]):
        if character == ",":
            parts.append(selector[start:index].strip())
            start = index + 1
    return parts


def _term(graph: Graph, term: str, selector: str, known: Known) -> set[TableName]:
    masked = _QUOTED.sub(lambda match: "x" * len(match[0]), term)
    match = _TERM.match(masked)
    assert match is not None  # every part of the pattern is optional
    core = term[match.start(3) : match.end(3)].strip()
    if not core:
        raise UnknownSelection(
            f"the selector {selector!r} is incomplete",
            expected="a table such as marts.revenue, with or without + around it",
            hint="headwater ls shows all tables",
        )
    chosen = _core(graph, core, known)
    whole = set(chosen)
    if match[2]:
        depth = int(match[1]) if match[1] else None
        for table in chosen:
            whole |= graph.upstream(table, depth)
    if match[4]:
        depth = int(match[5]) if match[5] else None
        for table in chosen:
            whole |= graph.downstream(table, depth)
    return whole


def _core(graph: Graph, core: str, known: Known) -> set[TableName]:
    method, colon, value = core.partition(":")
    if not colon or '"' in method:
        return _by_name(graph, core)
    match method:
        case "source":
            return _by_source(graph, value)
        case "export":
            return _by_export(graph, value, known)
        case "tag":
            return _by_tag(graph, value)
        case "path":
            return _by_path(graph, value)
        case "state":
            return _by_state(graph, value, known)
        case "result":
            return _by_result(graph, value, known)
    raise _unknown(
        f"there is no selector method {method!r}", expected=f"one of {', '.join(name + ':' for name in _METHODS)}", guess=nearest(method, _METHODS)
    )


def _unknown(what: str, *, expected: str | None = None, guess: str | None = None) -> UnknownSelection:
    return UnknownSelection(what, expected=expected, hint=f"did you mean {guess}?" if guess else "headwater ls shows all tables")


def _is_glob(text: str) -> bool:
    return any(mark in text for mark in "*?[")


def _by_name(graph: Graph, name: str) -> set[TableName]:
    if '"' not in name and _is_glob(name):
        pattern = name.lower()
        found = {table for table in graph.nodes if fnmatchcase(str(table).lower(), pattern)}
        if not found:
            schemas = {f"{table.schema}.*" for table in graph.nodes}
            raise _unknown(f"no table matches {name!r}", guess=nearest(name, schemas))
        return found
    exact = {table for table in graph.nodes if str(table).lower() == name.lower()}
    if exact:
        return exact
    try:
        parsed = graph.find(TableName.parse(name))
    except ValueError:
        parsed = None
    if parsed is None:
        raise _unknown(f"there is no table {name!r} in this project", guess=nearest_table(name, graph.nodes))
    return {parsed}


def _by_source(graph: Graph, value: str) -> set[TableName]:
    streams = {table: node for table, node in graph.nodes.items() if node.kind == "stream"}
    low = value.lower()
    found = {table for table, node in streams.items() if fnmatchcase(node.source.lower(), low) or fnmatchcase(str(table).lower(), low)}
    if not found:
        candidates = {node.source for node in streams.values()} | {str(table) for table in streams}
        raise _unknown(f"there is no source or stream {value!r}", guess=_prefixed("source", nearest(value, candidates)))
    return found


def _by_export(graph: Graph, value: str, known: Known) -> set[TableName]:
    """The tables that exports of that name send."""
    tables = [table for name, table in known.exports.items() if fnmatchcase(name.lower(), value.lower())]
    if not tables:
        raise _unknown(f"there is no export {value!r}", guess=_prefixed("export", nearest(value, known.exports)))
    return {found for table in tables if (found := graph.find(table)) is not None}


def _by_tag(graph: Graph, value: str) -> set[TableName]:
    found = {table for table, node in graph.nodes.items() if any(fnmatchcase(tag.lower(), value.lower()) for tag in node.tags)}
    if not found:
        tags = {tag for node in graph.nodes.values() for tag in node.tags}
        raise _unknown(f"no table has the tag {value!r}", guess=_prefixed("tag", nearest(value, tags)))
    return found


def _by_path(graph: Graph, value: str) -> set[TableName]:
    wanted = value.replace("\\", "/").removeprefix("./").rstrip("/")
    found = {
        table
        for table, node in graph.nodes.items()
        if node.path == wanted or node.path.startswith(wanted + "/") or wanted in ("", ".") or (_is_glob(wanted) and fnmatchcase(node.path, wanted))
    }
    if not found:
        places = {node.path for node in graph.nodes.values()} | {node.path.rpartition("/")[0] for node in graph.nodes.values()}
        raise _unknown(f"no table is defined in {value!r}", guess=_prefixed("path", nearest(wanted, places)))
    return found


def _by_state(graph: Graph, value: str, known: Known) -> set[TableName]:
    if value not in _STATES:
        raise _unknown(f"there is no state {value!r}", expected=f"one of {', '.join(_STATES)}", guess=_prefixed("state", nearest(value, _STATES)))
    if known.deployed is None or known.fingerprints is None:
        raise UnknownSelection("state: selects by what is in the lake, which this command doesn't look at", hint="select by name, tag or path")
    deployed = {table.key: fingerprint for table, fingerprint in known.deployed.items()}
    now = known.fingerprints if callable(known.fingerprints) else known.fingerprints.__getitem__
    states = {
        table: "new" if table.key not in deployed else "unchanged" if deployed[table.key] == now(table) else "modified" for table in graph.nodes
    }
    wanted = {"modified", "new"} if value == "modified" else {value}
    return {table for table, state in states.items() if state in wanted}


def _by_result(graph: Graph, value: str, known: Known) -> set[TableName]:
    statuses = _RESULTS.get(value)
    if statuses is None:
        raise _unknown(f"there is no result {value!r}", expected=f"one of {', '.join(_RESULTS)}", guess=_prefixed("result", nearest(value, _RESULTS)))
    if known.results is None:
        raise UnknownSelection("result: selects by the last run, which this command doesn't look at", hint="select by name, tag or path")
    ended = {table.key for table, status in known.results.items() if status in statuses}
    return {table for table in graph.nodes if table.key in ended}


def _prefixed(method: str, name: str | None) -> str | None:
    return f"{method}:{name}" if name is not None else None
