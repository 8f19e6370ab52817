"""Masks as SQL over one column: what a reader sees instead of its value, in the column's own type wherever the mask leaves one.

Keyed masks (`hash`, `token`) call `hw_keyed(kind, text)`-like SQL with a key that the gate puts in; a null stays null in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from headwater.spec.names import quote_literal
from headwater.spec.policies import Mask

_NUMBERS: Final = frozenset(
    {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL"}
)
_TIMES: Final = frozenset({"DATE", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP_NS"})


@dataclass(frozen=True, slots=True)
class MaskKeys:
    """Secrets of keyed masks, one a purpose: they make the same value come out alike in every table of a lake, and unlike in any other lake."""

    hash: str
    token: str
    noise: str


def mask_sql(mask: Mask, column: str, type_name: str, keys: MaskKeys) -> str:
    """SQL for what is seen instead of `column` (quoted SQL) of DuckDB type `type_name`. Its type may be another: a hash is text.

    What a mask can't do to a type, it hides: the result is null.
    """
    base = type_name.upper().partition("(")[0].strip()
    is_text, is_number, is_time = base == "VARCHAR", base in _NUMBERS, base in _TIMES
    match mask.kind:
        case "null":
            return f"CAST(NULL AS {type_name})"
        case "redact":
            return f"CASE WHEN {column} IS NULL THEN NULL ELSE '***' END" if is_text else f"CAST(NULL AS {type_name})"
        case "hash":
            return _keyed(keys.hash, column)
        case "token":
            return f"'tok_' || left({_keyed(keys.token, column)}, 32)"
        case "generalise":
            return _generalised(mask.argument, column, type_name, is_text=is_text, is_number=is_number, is_time=is_time)
        case "noise":
            if not is_number:
                return f"CAST(NULL AS {type_name})"
            # the same value gets the same noise, so that asking again averages nothing away
            share = f"((hash({quote_literal(keys.noise)}, {column}) % 2000001)::DOUBLE / 1000000 - 1)"
            return f"TRY_CAST({column} * (1 + {mask.argument} * {share}) AS {type_name})"
        case "partial":
            return _partial(mask.argument, column) if is_text else f"CAST(NULL AS {type_name})"


def _keyed(key: str, column: str) -> str:
    """A keyed digest as hexadecimal text: the key goes in twice, so that nobody extends a digest they were shown."""
    literal = quote_literal(key)
    return f"sha256({literal} || sha256({literal} || '|' || CAST({column} AS VARCHAR)))"


def _generalised(argument: object, column: str, type_name: str, *, is_text: bool, is_number: bool, is_time: bool) -> str:
    if isinstance(argument, str) and argument.startswith("prefix:"):
        length = int(argument.removeprefix("prefix:"))
        if is_text:
            return f"rpad(left({column}, {length}), CAST(length({column}) AS INTEGER), '*')"
    elif isinstance(argument, str) and is_time:
        if argument != "hour" or type_name.upper() != "DATE":
            return f"CAST(date_trunc({quote_literal(argument)}, {column}) AS {type_name})"
    elif isinstance(argument, int | float) and is_number:
        return f"TRY_CAST(floor({column} / {argument}) * {argument} AS {type_name})"
    return f"CAST(NULL AS {type_name})"


_FORMS: Final[Mapping[str, str]] = {
    "email": "left({c}, 1) || '***@***' || CASE WHEN contains({c}, '.') THEN '.' || split_part({c}, '.', -1) ELSE '' END",
    "phone": "repeat('*', greatest(length({c}) - 2, 0)) || right({c}, least(2, length({c}) // 3))",
    "card": "repeat('*', greatest(length({c}) - 4, 0)) || right({c}, least(4, length({c}) // 3))",
}


def _partial(form: object, column: str) -> str:
    """An address keeps its first letter and its top-level domain, a phone number two digits, a card four; anything else its first letter."""
    forms = {name: text.replace("{c}", column) for name, text in _FORMS.items()}
    if isinstance(form, str):
        chosen = forms[form]
        return f"CASE WHEN {column} IS NULL THEN NULL ELSE {chosen} END"
    is_phone = f"regexp_full_match({column}, '[+0-9() ./-]{{6,}}')"
    is_card = f"regexp_full_match(replace(replace({column}, ' ', ''), '-', ''), '[0-9]{{13,19}}')"
    return (
        f"CASE WHEN {column} IS NULL THEN NULL WHEN contains({column}, '@') THEN {forms['email']} WHEN {is_card} THEN {forms['card']} "
        f"WHEN {is_phone} THEN {forms['phone']} ELSE left({column}, 1) || '***' END"
    )
