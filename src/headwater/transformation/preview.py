"""The edit loop: a model's rows without storing them, and its SQL as it would run."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from headwater.engine import Connection, Result, Workspace, parse_tree
from headwater.errors import UsageError
from headwater.spec.models import IncrementalKind, Model, SnapshotKind, TableKind, ViewKind
from headwater.storage import Lake
from headwater.transformation.build import located, plan, typed_query
from headwater.transformation.context import BuildContext
from headwater.transformation.kinds import DeleteMatching, DeleteRange
from headwater.transformation.output import declares_types, output_columns, with_declared_types
from headwater.transformation.python_models import python_query


@contextmanager
def show(workspace: Workspace, model: Model, *, project_dir: Path, cte: str | None = None, limit: int | None = 20) -> Iterator[Result]:
    """The first rows of a model's full query over the workspace's tables (those of one of its CTEs with `cte`), to be read while inside.

    Stores nothing. Raises UsageError for a CTE the model doesn't have, UserCodeError, and the errors of SQL with the model's file as location.
    """
    if cte is not None and model.language == "python":
        raise UsageError(f"{model.name} is a Python model and has no CTEs")
    rows = f"LIMIT {limit}" if limit is not None else ""
    with located(model), workspace.connection() as connection:
        if model.language == "python":
            with python_query(connection, workspace, model, project_dir) as output:
                query = _typed(connection, model, output.sql)
                yield connection.execute(f"SELECT *\nFROM (\n{query}\n)\n{rows}")
        else:
            query = _cte_query(connection, model, cte) if cte is not None else _typed(connection, model, model.sql)
            yield connection.execute(f"SELECT *\nFROM (\n{query}\n)\n{rows}")


def compile_model(lake: Lake | None, workspace: Workspace, model: Model, context: BuildContext) -> str:
    """The SQL that a run with this context would send to the engine for a model, with comments that say what happens to its rows.

    `lake` None compiles the first build. Python models aren't called: the text says how they would be.
    """
    lines = [f"-- {model.name}: {model.kind.type}, {model.path}"]
    lines += [f"-- reads {table} at snapshot {snapshot}" for table, snapshot in sorted(context.inputs.items())]
    if model.language == "python":
        given = ", ".join(f"{name}={table}" for name, table in model.arguments.items())
        return "\n".join([*lines, f"-- calls {model.function}({given})"])
    with located(model), workspace.connection() as connection:
        query = typed_query(connection, model, model.sql, context.lineage)
        match model.kind:
            case ViewKind():
                lines.append("-- nothing is stored: expanded where it is read")
            case TableKind():
                lines.append("-- all rows are replaced")
            case SnapshotKind(key=key, updated_at=updated_at, check=check):
                by = f"{updated_at} moved on" if updated_at else f"{'any column' if check == ('*',) else ' or '.join(check)} differs"
                lines.append(f"-- rows as they are now: where {by}, the version of the same {', '.join(key)} ends and another begins")
            case IncrementalKind():
                if lake is None or context.state is None:
                    lines.append("-- the first build: all rows")
                    return "\n".join([*lines, query.sql])
                outcome = plan(connection, lake, model, query, context)
                lines.append(_what_goes(outcome.delete))
                return "\n".join([*lines, outcome.query])
    return "\n".join([*lines, query.sql])


def _what_goes(delete: object) -> str:
    match delete:
        case DeleteRange(condition=condition):
            return f"-- replaces the rows where {condition}"
        case DeleteMatching(columns=columns):
            return f"-- replaces the rows of the same {', '.join(columns)}"
        case _:
            return "-- all rows are replaced"


def _typed(connection: Connection, model: Model, sql: str) -> str:
    return with_declared_types(model, sql, output_columns(connection, model, sql)) if declares_types(model) else sql


def _cte_query(connection: Connection, model: Model, cte: str) -> str:
    """One CTE of the model's own WITH, with those it may need: DuckDB's syntax tree with another query at its root."""
    tree = parse_tree(model.sql)
    entries = tree["statements"][0]["node"].get("cte_map", {}).get("map", []) if tree is not None else []
    names = [entry["key"] for entry in entries]
    found = next((name for name in names if name.lower() == cte.lower()), None)
    if found is None:
        near = difflib.get_close_matches(cte, names, 1)
        raise UsageError(
            f"{model.name} has no CTE {cte!r}",
            expected=f"one of {', '.join(names)}" if names else "a model with a WITH clause that DuckDB's parser can take apart",
            hint=f"did you mean {near[0]!r}?" if near else None,
        )
    escaped = found.replace('"', '""')
    wanted = parse_tree(f'SELECT * FROM "{escaped}"')
    assert wanted is not None
    wanted["statements"][0]["node"]["cte_map"] = {"map": entries[: names.index(found) + 1]}
    return str(connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(wanted)]).scalar())
