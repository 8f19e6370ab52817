"""A client's text as sqlglot reads it: what it would take for something else than Postgres does is written plainly first."""

from __future__ import annotations

from typing import Final

import sqlglot
from sqlglot import exp

from headwater.serving.postgres.dialect.output_names import CALLED, KEPT_NAME, SYNONYMS
from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.statements import tokens

_KEPT: Final = frozenset({"date_part", "ltrim", "rtrim", "power", "pow", "btrim", "lpad", "rpad", "to_char", "to_date", "to_timestamp"})


#: Characters of an interval's text, which is looked at from each of them.
_MOST_OF_INTERVAL: Final = 1000
#: Tables of one query whose names are looked for.
MOST_TABLES: Final = 1000


def read_postgres(sql: str) -> list[exp.Expr | None]:
    """The statements' trees. Raises WireError, SqlglotError and RecursionError."""
    return sqlglot.parse(_plain(sql), read="postgres")


def _plain(sql: str) -> str:
    """The text with those functions marked that sqlglot reads as others, whose name or type would be lost, by another name or by a comment; with a
    space behind each parameter, as `$1,$` would begin a dollar quote; and with dollar quotes as plain strings."""
    found = tokens(sql)
    following = [word for _, word, _ in found[1:]] + [""]
    parts: list[str] = []
    last = 0
    for place, (kind, word, at) in enumerate(found):
        parts.append(sql[last:at])
        last = at + len(word)
        if kind == "word" and following[place] == "(" and word.lower() in _KEPT:
            parts.append(KEPT_NAME)
        if kind == "word" and word.lower() == "interval" and len(following[place]) > _MOST_OF_INTERVAL:
            raise WireError("0A000", f"an interval of more than {_MOST_OF_INTERVAL:,} characters is not read")
        if kind == "dollar":
            tag = word[: word.index("$", 1) + 1]
            text = word[len(tag) : -len(tag)].replace("'", "''")
            parts.append(f"'{text}'")
            continue
        parts.append(word)
        if kind == "word" and following[place] == "(" and word.lower() in SYNONYMS:
            parts.append(f"/*{CALLED}{word.lower()}*/")
        if kind == "number" and place and found[place - 1][1:] == ("$", at - 1):
            parts.append(" ")
    parts.append(sql[last:])
    return "".join(parts)


def is_cte(table: exp.Table) -> bool:
    """Whether a table is the WITH query of that name which stands around it, and no relation."""
    if table.db or not isinstance(table.this, exp.Identifier):
        return False
    name = folded(table.this)
    below: exp.Expr = table
    above = table.parent
    within: exp.Expr | None = None
    while above is not None:
        if isinstance(above, exp.With):
            within = below
        clause = above.args.get("with_") if isinstance(above, exp.Expr) else None
        if isinstance(clause, exp.With):
            place = _places(clause).get(name)
            inside = within.index if below is clause and within is not None and not clause.args.get("recursive") else None
            if place is not None and (inside is None or place < inside):
                return True
        below, above = above, above.parent
    return False


def _places(clause: exp.With) -> dict[str, int]:
    """The first place of each name, looked for once: there may be thousands."""
    if "hw_places" not in clause.meta:
        named = [folded(one.args["alias"].this) for one in clause.expressions]
        clause.meta["hw_places"] = {name: place for place, name in reversed(list(enumerate(named)))}
    places: dict[str, int] = clause.meta["hw_places"]
    return places


def folded(identifier: exp.Expr) -> str:
    """A name as Postgres folds it."""
    return str(identifier.this) if identifier.args.get("quoted") else str(identifier.this).lower()
