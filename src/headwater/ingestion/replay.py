"""Replaying quarantine: rows that broke a contract, judged by today's, loaded if they keep it and nothing newer is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from headwater.errors import TableNotFound
from headwater.ingestion import applying, quarantine
from headwater.ingestion.applying import Batch, Bench, Current, Outcome
from headwater.ingestion.conform import REJECT_COLUMN, Conforming
from headwater.ingestion.context import LoadContext, PreparedLoad
from headwater.ingestion.contract import LoadPlan, SourceColumn, plan_load, table_columns
from headwater.ingestion.definition import stream_definition
from headwater.ingestion.dispositions import equal, listed
from headwater.ingestion.load import CanonicalTypes, staged_of
from headwater.ingestion.reading import stopped_when_cancelled
from headwater.sources.registry import connector_class
from headwater.spec.counting import plural
from headwater.spec.names import FILE_COLUMN, LOAD_ID_COLUMN, LOADED_AT_COLUMN, TableName, quote, quote_literal
from headwater.spec.sources import SchemaContract, Source, Stream
from headwater.storage.changes import LoadRecord, QuarantineClosing, Staged, TableChange, TableState
from headwater.storage.lake import Lake

#: Columns of quarantine that go along with each row.
_ID, _LOAD, _RECORDED = "_hw_id", "_hw_reject_load", "_hw_recorded_at"
_CARRIED = (_ID, _LOAD, _RECORDED)


def prepare_replay(lake: Lake, source: Source, stream_name: str, ids: Sequence[str] | None, context: LoadContext) -> PreparedLoad:
    """Judges rows waiting in quarantine (`ids`, or all) by today's contract and works out the change that loads them; commits nothing.

    Rows that keep it are closed as `replayed`. Under merge and scd2, rows older than what is stored of their key, and under append and replace with
    a key, rows whose key is there, are closed as `superseded` and change nothing. Rows that still break it stay where they are; `rows_rejected`
    counts them. The position isn't touched. Replaying twice changes nothing the second time: `change` is None when no row can be closed.

    Raises TableNotFound when the stream was never loaded, ContractRefused when the contract itself can't be applied.
    """
    stream = source.streams[stream_name]
    table = source.table_name(stream_name)
    state = context.state
    if state is None or not state.columns:
        raise TableNotFound(f"{table} was never loaded, so nothing of it is in quarantine", hint=f"headwater run {table}")
    with lake.engine.connection() as connection, stopped_when_cancelled(connection, context.is_cancelled):
        bench = Bench(lake, connection, table, stream.sort_by)
        kept: list[Staged | None] = []
        try:
            prepared = _Replay(bench, source, stream_name, stream, table, state, context).prepare(ids)
            kept = list(staged_of(prepared.change))
            return prepared
        finally:
            bench.drop_all_but(kept)


@dataclass(frozen=True, slots=True)
class _Replay:
    bench: Bench
    source: Source
    stream_name: str
    stream: Stream
    table: TableName
    state: TableState
    context: LoadContext

    @property
    def with_file(self) -> bool:
        return any(column.name == FILE_COLUMN for column in self.state.columns)

    def prepare(self, ids: Sequence[str] | None) -> PreparedLoad:
        where = "" if ids is None else f" WHERE id IN ({', '.join(quote_literal(i) for i in ids) or 'NULL'})"
        waits = self.bench.stage(f"SELECT * FROM {quarantine.waiting(self.bench.lake, self.table)}{where}", as_files=False)
        if not waits.rows:
            return PreparedLoad(self.table, None, note="nothing waits")
        sql, columns = self._as_source(waits)
        plan = self._plan(columns)
        conforming = self._conforming(plan)
        landed = self.bench.stage(conforming.select(sql, [*columns, SourceColumn(FILE_COLUMN, "VARCHAR")], mark=True))
        good = self.bench.stage(f"SELECT * EXCLUDE ({REJECT_COLUMN}) FROM {landed.relation} WHERE {REJECT_COLUMN} IS NULL")
        current = applying.current_rows(self.bench.lake, self.state, plan, self._technical(plan), ())
        superseded = self._superseded(good.relation, current, conforming, plan)
        survivors = self.bench.stage(f"SELECT g.* FROM {good.relation} AS g ANTI JOIN {superseded.relation} AS s ON s.{_ID} = g.{_ID}")
        outcome = self._apply(survivors, conforming, plan, current)
        ends: tuple[tuple[Literal["replayed", "superseded"], Staged], ...] = (("replayed", survivors), ("superseded", superseded))
        closings = tuple(QuarantineClosing(self._ids(staged), state) for state, staged in ends if staged.rows)
        broken = waits.rows - survivors.rows - superseded.rows
        if not closings:
            return PreparedLoad(self.table, None, waits.rows, broken, note="all rows still break the contract")
        return self._conclude(plan, outcome, closings, waits.rows, broken)

    def _ids(self, staged: Staged) -> tuple[str, ...]:
        return tuple(row[0] for row in self.bench.connection.execute(f"SELECT {_ID} FROM {staged.relation} ORDER BY 1").fetchall())

    # -- reading -----------------------------------------------------------------------------------------------------

    def _as_source(self, waits: Staged) -> tuple[str, list[SourceColumn]]:
        """The waiting rows as a source whose columns are all text. A line that was never a row can't become one: it stays."""
        rows = f"(SELECT * FROM {waits.relation} WHERE json_type(raw) = 'OBJECT')"
        keys: dict[str, list[str]] = {}
        for (key,) in self.bench.connection.execute(f"SELECT DISTINCT unnest(json_keys(raw)) AS k FROM {rows} ORDER BY k").fetchall():
            keys.setdefault(key.lower(), []).append(key)
        technical = {name for name, _ in applying.technical_types(with_file=True, history_type="TIMESTAMP")}
        for name in (*self.stream.columns, *(c.name for c in self.state.columns if c.name not in technical), *self.stream.primary_key):
            keys.setdefault(name.lower(), [name])
        for name, contract in self.stream.columns.items():
            if contract.renamed_from and contract.renamed_from.lower() in keys:
                keys[name.lower()] += keys.pop(contract.renamed_from.lower())
        selected = {name.lower() for name in self.stream.select}
        excluded = {name.lower() for name in self.stream.exclude}
        chosen = {key: names for key, names in keys.items() if key not in excluded and (not selected or key in selected)}
        values = [
            f"(coalesce({', '.join(f'hw_row[{quote_literal(name)}]' for name in names)}) ->> '$') AS {quote(names[0])}" for names in chosen.values()
        ]
        sql = f"""
            SELECT {", ".join(values)}, json_extract_string(position, '$.file') AS {FILE_COLUMN}, id AS {_ID}, load_id AS {_LOAD},
              recorded_at AS {_RECORDED}
            FROM (SELECT *, TRY_CAST(raw::JSON AS MAP(VARCHAR, JSON)) AS hw_row FROM {rows})
        """
        return sql, [SourceColumn(names[0], "VARCHAR") for names in chosen.values()]

    def _plan(self, columns: list[SourceColumn]) -> LoadPlan:
        """Old rows don't change the table's shape where the contract is closed: what it doesn't know keeps a row in quarantine."""
        contract = self.stream.schema_contract
        mode = "discard_row" if contract.columns == "freeze" else contract.columns
        lenient = SchemaContract(columns=mode, data_type="discard_row", is_agnostic=contract.is_agnostic)
        stream = self.stream.model_copy(update={"select": (), "exclude": (), "schema_contract": lenient})
        return plan_load(self.table, stream, [columns], self.state, canonical=CanonicalTypes(self.bench.connection, self.table))

    def _conforming(self, plan: LoadPlan) -> Conforming:
        has_cursor = self.stream.cursor is not None and connector_class(self.source.type).capabilities.cursor
        cursor = self.stream.cursor.column if self.stream.cursor and has_cursor and self.stream.disposition != "replace" else None
        return Conforming(self.stream, plan, self.context.load_id, self.context.started_at, cursor, self.with_file, _CARRIED)

    # -- what gives way ----------------------------------------------------------------------------------------------

    def _superseded(self, good: str, current: Current | None, conforming: Conforming, plan: LoadPlan) -> Staged:
        """Ids of rows that something newer has overtaken: in the table, or among the replayed rows themselves."""
        key = conforming.key
        if not key:
            return self.bench.stage(f"SELECT {_ID} FROM {good} WHERE false", as_files=False)
        cursor = self._ordering(conforming, plan)
        newest = [f"{quote(cursor)} DESC NULLS LAST"] if cursor else []
        older = f"""
            SELECT {_ID} FROM {good}
            QUALIFY row_number() OVER (PARTITION BY {listed(key)} ORDER BY {", ".join([*newest, f"{_RECORDED} DESC", _ID])}) > 1
        """
        if current is None:
            return self.bench.stage(older, as_files=False)
        if self.stream.disposition in ("append", "replace"):
            overtaken = "true"
        elif cursor is not None:
            overtaken = f"(g.{quote(cursor)} IS NULL OR c.{quote(cursor)} >= g.{quote(cursor)})"
        else:
            # of the same load nobody knows which came first: what is stored stays
            overtaken = f"(c.{LOADED_AT_COLUMN} > g.{_RECORDED} OR c.{LOAD_ID_COLUMN} = g.{_LOAD})"
        stored = f"SELECT g.{_ID} FROM {good} AS g SEMI JOIN {current.relation} AS c ON {equal(key, 'g', 'c')} AND {overtaken}"
        return self.bench.stage(f"{older} UNION {stored}", as_files=False)

    def _ordering(self, conforming: Conforming, plan: LoadPlan) -> str | None:
        cursor = self.stream.cursor.column if self.stream.cursor else None
        return conforming.name_of(cursor) if cursor and plan.type_of(cursor) else None

    def _apply(self, survivors: Staged, conforming: Conforming, plan: LoadPlan, current: Current | None) -> Outcome:
        if not survivors.rows:
            return Outcome()
        output = (
            *(column.name for column in plan.columns),
            *(name for name, _ in applying.technical_types(with_file=self.with_file, history_type=None)),
        )
        cursor = self._ordering(conforming, plan)
        batch = Batch(survivors.relation, None, plan, conforming.key, cursor, conforming.deleted, output, is_counted=False, has_doubled_keys=False)
        match self.stream.disposition:
            case "merge":
                return applying.apply_merge(self.bench, batch, current)
            case "scd2":
                return applying.apply_scd2(self.bench, batch, current, loaded_at=self.context.started_at, closes_vanished=False)
            case "append" | "replace":
                return applying.apply_append(self.bench, replace(batch, key=()), None)

    # -- concluding --------------------------------------------------------------------------------------------------

    def _history_type(self, plan: LoadPlan) -> str | None:
        if self.stream.disposition != "scd2":
            return None
        return applying.valid_type(plan.type_of(self.stream.cursor.column) if self.stream.cursor else None)

    def _technical(self, plan: LoadPlan) -> list[tuple[str, str]]:
        return applying.technical_types(with_file=self.with_file, history_type=self._history_type(plan))

    def _conclude(self, plan: LoadPlan, outcome: Outcome, closings: tuple[QuarantineClosing, ...], rows: int, broken: int) -> PreparedLoad:
        former = self.state.definition.body.get("source_types") or {}
        written = outcome.staged.rows if outcome.staged else 0
        superseded = sum(len(closing.ids) for closing in closings if closing.state == "superseded")
        told = (
            (superseded, f"{superseded:,} closed as superseded, a newer row of the key being stored"),
            (broken, f"{plural(broken, 'row')} still {'breaks' if broken == 1 else 'break'} the contract"),
        )
        record = LoadRecord(
            self.context.load_id,
            "replay",
            self.context.run_id,
            self.context.started_at,
            rows_read=rows,
            rows_written=written,
            rows_deleted=outcome.rows_deleted,
            size_bytes=outcome.staged.size_bytes if outcome.staged else 0,
            fingerprint=self.context.fingerprint,
            note="; ".join(said for count, said in told if count),
        )
        change = TableChange(
            self.table,
            stream_definition(self.source, self.stream_name, self.stream, self.context.fingerprint, former),
            record,
            self.context.token,
            staged=outcome.staged,
            delete=outcome.delete,
            closings=closings,
            columns=table_columns(self.stream, plan, with_file=self.with_file, valid_type=self._history_type(plan)),
            partition_by=self.stream.partition_by,
            sort_by=self.stream.sort_by,
            renames=plan.renames,
        )
        return PreparedLoad(self.table, change, rows, broken, self.stream.table_checks, note=record.note)
