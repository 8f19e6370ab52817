"""PREPARE, EXECUTE and DEALLOCATE as SQL writes them."""

from __future__ import annotations

from typing import Final

from headwater.serving.postgres import types as pg
from headwater.serving.postgres.failures import WireError
from headwater.serving.postgres.statements import Words, tokens

_ALIASES: Final = {"int": pg.INT4, "decimal": pg.NUMERIC, "char": pg.BPCHAR, "timestamp": pg.TIMESTAMP, "time": pg.TIME, "float": pg.FLOAT8}
_BY_NAME: Final = {**{one.sql_name: oid for oid, one in pg.TYPES.items()}, **{one.name: oid for oid, one in pg.TYPES.items()}, **_ALIASES}


def read_prepare(sql: str) -> tuple[str, list[int], str]:
    """Name, the parameters' types as far as they are given, and the query of `PREPARE name (types) AS query`. Raises WireError."""
    words = Words(sql)
    words.expect("prepare")
    name = words.name()
    oids = [_type(part) for part in _parts(words.parenthesised())] if words.peek() == "(" else []
    words.expect("as")
    return name, oids, words.rest()


def read_execute(sql: str) -> tuple[str, list[str | None]]:
    """Name and values, as texts, of `EXECUTE name (values)`. Values are constants; a cast behind one says nothing new and is left out."""
    words = Words(sql)
    words.expect("execute")
    name = words.name()
    values = [_value(part) for part in _parts(words.parenthesised())] if words.peek() == "(" else []
    words.end()
    return name, values


def read_deallocate(sql: str) -> str | None:
    """The name in `DEALLOCATE [PREPARE] name`; None for ALL."""
    words = Words(sql)
    words.expect("deallocate")
    words.accept("prepare")
    is_all = words.accept("all")
    name = None if is_all else words.name()
    words.end()
    return name


def _parts(text: str) -> list[list[tuple[str, str]]]:
    """The tokens between the commas that stand in no parentheses."""
    parts: list[list[tuple[str, str]]] = [[]]
    depth = 0
    for kind, word, _ in tokens(text):
        depth += {"(": 1, ")": -1}.get(word, 0)
        if word == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append((kind, word))
    return parts


def _type(part: list[tuple[str, str]]) -> int:
    words = [word.lower() for _, word in part]
    is_array = words[-2:] == ["[", "]"]
    if is_array:
        words = words[:-2]
    if "(" in words:  # a precision says nothing of what comes
        words = words[: words.index("(")] + words[words.index(")") + 1 :]
    name = " ".join(words)
    oid = _BY_NAME.get(name, 0)
    if not oid or (is_array and not pg.TYPES[oid].array):
        raise WireError("42704", f'type "{name}" does not exist')
    return pg.TYPES[oid].array if is_array else oid


def _value(part: list[tuple[str, str]]) -> str | None:
    constant = part
    for place, pair in enumerate(part):
        if pair[1] == ":":
            constant = part[:place]
            break
    match constant:
        case [("string", text)]:
            return text[1:-1].replace("''", "'")
        case [("number", text)]:
            return text
        case [("other", "-"), ("number", text)]:
            return f"-{text}"
        case [("word", text)] if text.lower() == "null":
            return None
        case [("word", text)] if text.lower() in ("true", "false"):
            return text.lower()
    raise WireError("0A000", "EXECUTE takes constants here", hint="Write texts, numbers, true, false or null.")
