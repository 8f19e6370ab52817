"""Taking a table's head back to what readers see."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from headwater.errors import HeadwaterError
from headwater.orchestration.side_runs import SideRun
from headwater.sources import ReadRequest, open_connector, resolved_stream
from headwater.spec.counting import plural
from headwater.spec.names import LOAD_ID_COLUMN, SYSTEM_SCHEMA, TableName, quote
from headwater.storage import NEVER_PUBLISHED, LoadRecord, Position, Rejected, Staged, TableChange, TableState


def restored(run: SideRun, table: TableName, reason: str) -> TableChange:
    """The change that makes the head of a table what is published of it, its position with it. Its `load.note` says what became of the rest."""
    state = run.states[table]
    record = _published_record(run, table, state)
    load = replace(run.load_record(table, "discard"), inputs=record.inputs, fingerprint=record.fingerprint, clock=record.clock)
    with run.session.lake.engine.connection() as connection:
        change = run.session.lake.restore_change(connection, state.table, load, token=run.lease.tokens[table])
    change = replace(change, reason=reason, computed_from=state.changed_snapshot)
    if change.definition.kind == "view":
        return replace(change, load=replace(load, note="the published definition is the newest again"))
    if change.definition.kind != "stream" or state.position is None:
        return replace(change, load=replace(load, note="rows are those published"))
    position = run.session.lake.position_at(state.table, _pin(state))
    if _can_be_read_again(run, table, state, position):
        change = replace(change, position=Position(position), previous_position=state.position)
        return replace(change, load=replace(load, note="rows and position are those published: the next run reads the rest again"))
    rejected = _discarded_rows(run, state)
    waiting = f"{plural(rejected.rows, 'discarded row')} {'waits' if rejected.rows == 1 else 'wait'} in quarantine"
    note = f"rows are those published; {waiting}: the source can't give these again"
    return replace(change, rejected=Rejected(rejected), load=replace(load, note=note, rows_rejected=rejected.rows))


def _system(run: SideRun, table: str) -> str:
    return f"{quote(run.session.lake.database)}.{quote(SYSTEM_SCHEMA)}.{quote(table)}"


def _pin(state: TableState) -> int:
    return state.published_snapshot if state.published_snapshot is not None and state.published_snapshot != NEVER_PUBLISHED else 0


def _published_record(run: SideRun, table: TableName, state: TableState) -> LoadRecord:
    """The record of the load whose rows readers see: what the next run compares with."""
    row = run.session.lake.read_as_system(
        f"""
        SELECT load_id, run_id, inputs, fingerprint, clock
        FROM {_system(run, "loads")}
        WHERE environment = ? AND lower(schema_name) = ? AND lower(table_name) = ? AND snapshot_id <= ?
            AND operation NOT IN ('publish', 'rollback', 'retire')
        ORDER BY snapshot_id DESC
        LIMIT 1
        """,
        [run.session.environment, *table.key, _pin(state)],
    ).fetchone()
    if row is None:
        return run.load_record(table, "discard")
    return LoadRecord(row[0], "discard", row[1], run.started_at, inputs=json.loads(row[2]), fingerprint=row[3], clock=row[4])


def _can_be_read_again(run: SideRun, table: TableName, state: TableState, position: Mapping[str, Any]) -> bool:
    """Whether the source still has what was read since `position`: for files, that each is there as it was; for others, that it can be asked."""
    project = run.session.project
    name = project.graph.find(table)
    if name is None or project.graph.nodes[name].kind != "stream":
        return False
    source, stream_name, stream = project.stream(name)
    try:
        connector = open_connector(
            source,
            project_dir=project.directory,
            environ=project.environ,
            security=project.config.security,
            temp_dir=run.session.temp_directory,
            now=run.started_at,
        )
    except HeadwaterError:
        return False
    try:
        if not connector.capabilities.file_list:
            connector.check()
            return True
        resolved = resolved_stream(stream, project_dir=project.directory, environ=project.environ, security=project.config.security)
        reading = connector.read(ReadRequest(stream_name, resolved, position=position or None))
        there = dict(reading.position or {})
        return all(there.get(key) == value for key, value in dict(state.position or {}).items() if position.get(key) != value)
    except HeadwaterError:
        return False
    finally:
        connector.close()


def _discarded_rows(run: SideRun, state: TableState) -> Staged:
    """Rows of loads that readers never saw, as quarantine keeps them."""
    lake = run.session.lake
    sql = f"""
        SELECT to_json(hw_rows)::VARCHAR AS raw, 'discarded' AS reason, NULL::VARCHAR AS column_name, {quote(LOAD_ID_COLUMN)} AS position
        FROM ({lake.head_sql(state.table)}) AS hw_rows
        WHERE {quote(LOAD_ID_COLUMN)} IN (
            SELECT load_id
            FROM {_system(run, "loads")}
            WHERE environment = '{run.session.environment.replace("'", "''")}' AND snapshot_id > {_pin(state)}
        )
    """
    with lake.engine.connection() as connection:
        return lake.stage(connection, state.table, sql, as_files=False)
