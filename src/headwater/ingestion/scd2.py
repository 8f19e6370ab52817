"""History by key (SCD type 2) as SQL. Pure text.

Each version of a key is a row with `valid_from` and `valid_to` (null while it holds). A stream with a time cursor dates versions by it, so that rows
that come late find their place; without one, a version begins when it was loaded. The versions of a touched key are worked out afresh from what
is stored and what came, as events in time order: equal neighbours are one version, a key that vanished closes its last one. So the outcome doesn't
depend on the order or the number of times rows are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from headwater.ingestion.contract import VALID_FROM, VALID_TO
from headwater.ingestion.dispositions import equal, listed
from headwater.spec.names import LOAD_ID_COLUMN, LOADED_AT_COLUMN, quote, quote_literal

_TECHNICAL = (LOAD_ID_COLUMN, LOADED_AT_COLUMN)


@dataclass(frozen=True, slots=True)
class History:
    """`cursor` is the time column that dates versions, None for the load's own time `loaded_at`. `closes_vanished`: the batch is all there is."""

    key: tuple[str, ...]
    columns: tuple[str, ...]
    cursor: str | None
    loaded_at: datetime
    valid_type: str
    closes_vanished: bool

    @property
    def compared(self) -> list[str]:
        """What makes a new version when it changes: all but the key and the cursor."""
        return [c for c in self.columns if c not in self.key and c != self.cursor]

    @property
    def _now(self) -> str:
        return f"TIMESTAMPTZ {quote_literal(self.loaded_at.isoformat())}"

    def dated(self, good: str, current: str | None) -> str:
        """Good rows with `_hw_at`, when each began to hold. A load's own time is moved past what is stored, should the clock have gone back."""
        if self.cursor is not None:
            return f"(SELECT *, {quote(self.cursor)} AS _hw_at FROM {good})"
        if current is None:
            return f"(SELECT *, {self._now} AS _hw_at FROM {good})"
        return f"""(
            SELECT g.*, greatest({self._now}, last._hw_end + INTERVAL 1 MICROSECOND) AS _hw_at
            FROM {good} AS g
            LEFT JOIN {self._ends(current)} AS last ON {equal(self.key, "g", "last")}
        )"""

    def _ends(self, current: str) -> str:
        """When each stored key last began or ceased to hold."""
        return f"(SELECT {listed(self.key)}, max(coalesce({VALID_TO}, {VALID_FROM})) AS _hw_end FROM {current} GROUP BY {listed(self.key)})"

    def touched(self, dated: str, current: str) -> str:
        """Keys with a row that differs from the version that holds now, and keys that vanished."""
        changed = f"""
            SELECT DISTINCT {listed(self.key, "g.")}
            FROM {dated} AS g
            ANTI JOIN (SELECT * FROM {current} WHERE {VALID_TO} IS NULL) AS c
              ON {equal([*self.key, *self.compared], "g", "c")} AND c.{VALID_FROM} <= g._hw_at
        """
        return f"({changed} UNION {self._vanished(dated, current)})" if self.closes_vanished else f"({changed})"

    def _vanished(self, dated: str, current: str) -> str:
        return f"""
            SELECT {listed(self.key, "c.")}
            FROM (SELECT * FROM {current} WHERE {VALID_TO} IS NULL) AS c
            ANTI JOIN {dated} AS g ON {equal(self.key, "c", "g")}
        """

    def versions(self, dated: str, current: str | None, touched: str | None) -> str:
        """All versions of the touched keys as they should be; of all keys where nothing is stored."""
        data = listed([*self.columns, *_TECHNICAL])
        batch = f"SELECT {data}, _hw_at, 1 AS _hw_priority, false AS _hw_closed, row_number() OVER () AS _hw_seq FROM {dated}"
        events = [batch]
        if current is not None and touched is not None:
            events[0] = f"SELECT b.* FROM ({batch}) AS b SEMI JOIN {touched} AS t ON {equal(self.key, 'b', 't')}"
            stored = f"(SELECT c.* FROM {current} AS c SEMI JOIN {touched} AS t ON {equal(self.key, 'c', 't')})"
            events.append(f"SELECT {data}, {VALID_FROM} AS _hw_at, 0 AS _hw_priority, false AS _hw_closed, 0 AS _hw_seq FROM {stored}")
            events.append(f"""
                SELECT {listed(self.key, "s.")}, s.{VALID_TO} AS _hw_at, 0 AS _hw_priority, true AS _hw_closed, 0 AS _hw_seq
                FROM {stored} AS s
                ANTI JOIN {stored} AS n ON {equal(self.key, "s", "n")} AND n.{VALID_FROM} = s.{VALID_TO}
                WHERE s.{VALID_TO} IS NOT NULL
            """)
            if self.closes_vanished:
                events.append(f"""
                    SELECT {listed(self.key, "v.")}, greatest({self._now}::{self.valid_type}, last._hw_end + INTERVAL 1 MICROSECOND) AS _hw_at,
                      1 AS _hw_priority, true AS _hw_closed, 0 AS _hw_seq
                    FROM ({self._vanished(dated, current)}) AS v
                    JOIN {self._ends(current)} AS last ON {equal(self.key, "v", "last")}
                """)
        keys = listed(self.key)
        row = "{" + (", ".join(f"{quote_literal(f'c{i}')}: {quote(c)}" for i, c in enumerate(self.compared)) or "'c': 0") + "}"
        return f"""(
            SELECT {listed(self.columns)}, {VALID_FROM}, {VALID_TO}, {listed(_TECHNICAL)}
            FROM (
                SELECT *, _hw_at::{self.valid_type} AS {VALID_FROM},
                  lead(_hw_at) OVER (PARTITION BY {keys} ORDER BY _hw_at)::{self.valid_type} AS {VALID_TO}
                FROM (
                    SELECT *, {row} AS _hw_row, lag({row}) OVER hw_key AS _hw_row_before, lag(_hw_closed) OVER hw_key AS _hw_closed_before
                    FROM (
                        SELECT * FROM ({" UNION ALL BY NAME ".join(events)})
                        QUALIFY row_number() OVER (PARTITION BY {keys}, _hw_at ORDER BY _hw_priority DESC, _hw_closed, _hw_seq DESC) = 1
                    )
                    WINDOW hw_key AS (PARTITION BY {keys} ORDER BY _hw_at)
                )
                WHERE _hw_closed OR coalesce(_hw_closed_before, true) OR _hw_row IS DISTINCT FROM _hw_row_before
            )
            WHERE NOT _hw_closed
        )"""

    def inserted(self, versions: str, current: str | None) -> str:
        """The versions that aren't stored just so."""
        if current is None:
            return f"SELECT * FROM {versions}"
        return f"SELECT n.* FROM {versions} AS n ANTI JOIN {current} AS c ON {self._same('n', 'c')}"

    def removed(self, versions: str, current: str, touched: str) -> str:
        """Key and beginning of the stored versions that give way."""
        return f"""
            SELECT {listed([*self.key, VALID_FROM], "c.")}
            FROM (SELECT c.* FROM {current} AS c SEMI JOIN {touched} AS t ON {equal(self.key, "c", "t")}) AS c
            ANTI JOIN {versions} AS n ON {self._same("n", "c")}
        """

    def _same(self, left: str, right: str) -> str:
        return equal([*self.key, VALID_FROM, VALID_TO, *self.compared], left, right)
